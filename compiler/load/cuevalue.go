package load

import (
	"math/big"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/token"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// evaluate makes the unit of one package. Each gets a CUE context of its own,
// because contexts grow and are only freed whole.
func (r *cueRepo) evaluate(p cuePackage) (u *unit) {
	u = &unit{}
	defer func() {
		if x := recover(); x != nil {
			u.diags.Errorf(CodeCUE, source.At(p.files[0].path, 1, 1), "CUE gave up on this package: %v", x)
		}
	}()
	b := &cueBuild{cueRepo: r, ctx: build.NewContext(), root: r.moduleRoot(p.dir), sources: map[string]*ast.File{}}
	inst := b.instance(p)
	e := &cueErrors{files: r.files, unit: u, fallback: source.At(p.files[0].path, 1, 1)}
	if inst.Err != nil {
		e.add(inst.Err, "")
		return u
	}
	u.key = b.key()
	if previous := r.opt.Previous; previous != nil {
		if old := previous.units[p.name]; old != nil && old.key == u.key {
			return old
		}
	}
	value := cuecontext.New().BuildInstance(inst)
	w := &cueWalk{loader: r.loader, unit: u, written: indexSources(b.sources), errors: e}
	e.nearest = func(path []string) source.Span { return w.nearest(value, path) }
	w.walk(value, 0)
	if err := value.Validate(); err != nil {
		w.errors.add(err, "")
	}
	u.diags = truncate(u.diags)
	return u
}

// cueWalk collects the documents of an evaluated package.
type cueWalk struct {
	*loader
	unit    *unit
	written written
	errors  *cueErrors
	// of the document being converted
	budget  int
	object  string
	strict  bool
	failure bool
}

var (
	cueAPIVersion = cue.MakePath(cue.Str("apiVersion"))
	cueKind       = cue.MakePath(cue.Str("kind"))
	cueName       = cue.MakePath(cue.Str("metadata"), cue.Str("name"))
)

// walk looks for documents in regular fields and list items. Definitions,
// hidden and optional fields are no documents.
func (w *cueWalk) walk(v cue.Value, depth int) {
	if depth > w.limits.Depth {
		w.unit.diags.Errorf(CodeLimit, w.at(v), "%s is nested deeper than %d", v.Path(), w.limits.Depth)
		return
	}
	if w.document(v) {
		return
	}
	if items, err := v.List(); err == nil {
		for items.Next() {
			w.walk(items.Value(), depth+1)
		}
		return
	}
	fields, err := v.Fields()
	if err != nil {
		return // a scalar, or an error that Validate reports
	}
	for fields.Next() {
		w.walk(fields.Value(), depth+1)
	}
	// A comprehension over something unknown yields no fields and no error of
	// Validate: its documents would vanish.
	if err := v.Err(); err != nil {
		w.errors.incomplete(v, err)
	}
}

// document converts v if it has apiVersion and kind.
func (w *cueWalk) document(v cue.Value) bool {
	version, err := v.LookupPath(cueAPIVersion).String()
	if err != nil {
		return false
	}
	kind, err := v.LookupPath(cueKind).String()
	if err != nil {
		return false
	}
	at := w.at(v)
	reading := w.read(groupOf(version), kind)
	if items := v.LookupPath(cue.MakePath(cue.Str("items"))); strings.HasSuffix(kind, "List") && items.Exists() {
		w.walk(items, 0)
		return true
	}
	if !reading.Read {
		w.unit.foreign = append(w.unit.foreign, Foreign{Span: at, APIVersion: version, Kind: kind})
		return true
	}
	name, _ := v.LookupPath(cueName).String()
	w.object, w.strict, w.budget, w.failure = strings.TrimSpace(kind+" "+name), reading.Strict, w.limits.Nodes, false
	if err := v.Validate(cue.Concrete(true)); err != nil {
		w.errors.add(err, w.object)
		return true
	}
	root := w.node(v, at, 0)
	if w.failure {
		return true
	}
	doc := &Document{APIVersion: version, Kind: kind, Root: root, Span: at, FromCUE: true}
	w.name(doc, reading, "", w.unit)
	return true
}

// at is where a value was written, its label if it has one.
func (w *cueWalk) at(v cue.Value) source.Span {
	key, value := w.written.find(v)
	switch {
	case key.IsValid():
		return key
	case value.IsValid():
		return value
	}
	return w.errors.fallback
}

// nearest follows the path of an error as far as its values were written.
func (w *cueWalk) nearest(v cue.Value, path []string) (place source.Span) {
	for _, step := range path {
		next := cue.ParsePath(step)
		if i, err := strconv.Atoi(step); err == nil {
			next = cue.MakePath(cue.Index(i))
		}
		if v = v.LookupPath(next); !v.Exists() {
			return place
		}
		if _, value := w.written.find(v); value.IsValid() {
			place = value
		}
	}
	return place
}

// node converts a concrete value. around is the place of what contains it, for
// values that come from the schema.
func (w *cueWalk) node(v cue.Value, around source.Span, depth int) *Node {
	_, place := w.written.find(v)
	if !place.IsValid() {
		place = around
	}
	n := &Node{Span: place}
	if w.budget--; w.budget < 0 || depth > w.limits.Depth {
		if !w.failure {
			d := w.unit.diags.Errorf(CodeLimit, place, "more than %d values, or nested deeper than %d", w.limits.Nodes, w.limits.Depth)
			d.Object = w.object
		}
		w.failure = true
		return n
	}
	v, _ = v.Default()
	switch v.Kind() {
	case cue.StructKind:
		n.Kind = Map
		w.fields(n, v, depth)
	case cue.ListKind:
		n.Kind = List
		items, _ := v.List()
		for items.Next() {
			n.Items = append(n.Items, w.node(items.Value(), place, depth+1))
		}
	default:
		w.scalar(n, v)
	}
	return n
}

func (w *cueWalk) fields(n *Node, v cue.Value, depth int) {
	fields, err := v.Fields()
	if err != nil {
		return
	}
	for fields.Next() {
		key := fields.Selector().Unquoted()
		label, _ := w.written.find(fields.Value())
		if !label.IsValid() {
			label = n.Span
		}
		n.Fields = append(n.Fields, Field{Key: key, KeySpan: label, Value: w.node(fields.Value(), n.Span, depth+1)})
	}
}

func (w *cueWalk) scalar(n *Node, v cue.Value) {
	switch v.Kind() {
	case cue.NullKind:
		n.Kind = Null
	case cue.BoolKind:
		n.Kind, n.Text = Bool, "false"
		if b, _ := v.Bool(); b {
			n.Text = "true"
		}
	case cue.IntKind:
		i, _ := v.Int(new(big.Int))
		n.Kind, n.Text = Int, i.String()
	case cue.FloatKind, cue.NumberKind:
		f, _ := v.Float64()
		n.Kind, n.Text = Float, formatFloat(f)
	case cue.StringKind:
		n.Kind = String
		text, _ := v.String()
		n.Text = substitute(text, w.opt.Set, func(name, written string) {
			if w.strict {
				d := w.unit.diags.Errorf(CodePlaceholder, n.Span, noValue, written, name, written)
				d.Object = w.object
			}
		})
	default:
		w.failure = true
		d := w.unit.diags.Errorf(CodeCUE, n.Span, "%s has the type %s, which documents cannot hold", v.Path(), v.Kind())
		d.Object = w.object
	}
}

// written finds where the fields and list items of the repository's own files
// stand: evaluated values know only the position where each of their parts
// begins.
type written struct {
	files  map[string]bool
	fields map[token.Pos]*ast.Field
	items  map[token.Pos]ast.Expr
}

func indexSources(sources map[string]*ast.File) written {
	w := written{files: map[string]bool{}, fields: map[token.Pos]*ast.Field{}, items: map[token.Pos]ast.Expr{}}
	for name, f := range sources {
		w.files[name] = true
		ast.Walk(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				w.fields[n.Pos()] = n
			case *ast.ListLit:
				for _, item := range n.Elts {
					w.items[item.Pos()] = item
				}
			}
			return true
		}, nil)
	}
	return w
}

// find returns the places of the label and of the value that a person wrote for
// v: the first of its parts that stands in the repository.
func (w written) find(v cue.Value) (label, value source.Span) {
	if f, ok := v.Source().(*ast.Field); ok && w.files[f.Pos().Filename()] {
		return span(f.Label), span(f.Value)
	}
	if op, parts := v.Expr(); op == cue.AndOp {
		for _, part := range parts {
			if label, value = w.place(part.Pos()); value.IsValid() {
				return label, value
			}
		}
	}
	return w.place(v.Pos())
}

func (w written) place(p token.Pos) (label, value source.Span) {
	if !p.IsValid() || !w.files[p.Filename()] {
		return source.Span{}, source.Span{}
	}
	if f := w.fields[p]; f != nil {
		return span(f.Label), span(f.Value)
	}
	if item := w.items[p]; item != nil {
		return source.Span{}, span(item)
	}
	return source.Span{}, position(p)
}
