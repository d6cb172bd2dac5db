package load

import (
	"math/big"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"

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
	if old := r.opt.Previous.unit(p.name); old != nil && old.key == u.key {
		return old
	}
	value := cuecontext.New().BuildInstance(inst)
	w := &cueWalk{loader: r.loader, unit: u, written: indexSources(b.sources), errors: e}
	e.nearest = func(path []string) anchor { return w.nearest(value, path) }
	w.walk(value, "", 0)
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
func (w *cueWalk) walk(v cue.Value, key string, depth int) {
	if depth > w.limits.Depth {
		w.unit.diags.Errorf(CodeLimit, w.at(v, key), "%s is nested deeper than %d", v.Path(), w.limits.Depth)
		return
	}
	if w.document(v, key) {
		return
	}
	if items, err := v.List(); err == nil {
		for items.Next() {
			w.walk(items.Value(), "", depth+1)
		}
		return
	}
	fields, err := v.Fields()
	if err != nil {
		return // a scalar, or an error that Validate reports
	}
	for fields.Next() {
		w.walk(fields.Value(), fields.Selector().Unquoted(), depth+1)
	}
	// A comprehension over something unknown yields no fields and no error of
	// Validate: its documents would vanish.
	if err := v.Err(); err != nil {
		w.errors.incomplete(v, err)
	}
}

// document converts v if it has apiVersion and kind.
func (w *cueWalk) document(v cue.Value, key string) bool {
	version, err := v.LookupPath(cueAPIVersion).String()
	if err != nil {
		return false
	}
	kind, err := v.LookupPath(cueKind).String()
	if err != nil {
		return false
	}
	at := w.at(v, key)
	reading := w.read(groupOf(version), kind)
	if items := v.LookupPath(cue.MakePath(cue.Str("items"))); strings.HasSuffix(kind, "List") && items.Exists() {
		w.walk(items, "items", 0)
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
	root, _ := w.node(v, key, 0)
	inherit(root, at)
	if w.failure {
		return true
	}
	doc := &Document{APIVersion: version, Kind: kind, Root: root, Span: at, FromCUE: true}
	w.name(doc, reading, "", w.unit)
	return true
}

// at is where a value was written, its label if it has one.
func (w *cueWalk) at(v cue.Value, key string) source.Span {
	at := w.written.find(v, key, nil)
	switch {
	case at.label().IsValid():
		return at.label()
	case at.value().IsValid():
		return at.value()
	}
	return w.errors.fallback
}

// nearest follows the path of an error as far as its values were written.
func (w *cueWalk) nearest(v cue.Value, path []string) (place anchor) {
	for _, step := range path {
		next, key := cue.ParsePath(step), step
		if i, err := strconv.Atoi(step); err == nil {
			next, key = cue.MakePath(cue.Index(i)), ""
		} else if unquoted, err := strconv.Unquote(step); err == nil {
			key = unquoted
		}
		if v = v.LookupPath(next); !v.Exists() && v.Err() == nil {
			return place
		}
		if at := w.written.find(v, key, nil); at.value().IsValid() {
			place = at
		}
	}
	return place
}

// node converts a concrete value. key is its field's, "" for a list item. The
// place stays empty for what comes from the schema; inherit fills it in.
func (w *cueWalk) node(v cue.Value, key string, depth int) (*Node, anchor) {
	n := &Node{}
	if w.budget--; w.budget < 0 || depth > w.limits.Depth {
		if !w.failure {
			d := w.unit.diags.Errorf(CodeLimit, w.at(v, key), "more than %d values, or nested deeper than %d", w.limits.Nodes, w.limits.Depth)
			d.Object = w.object
		}
		w.failure = true
		return n, anchor{}
	}
	final, _ := v.Default()
	var children []anchor
	switch final.Kind() {
	case cue.StructKind:
		n.Kind = Map
		fields, _ := final.Fields()
		for fields != nil && fields.Next() {
			name := fields.Selector().Unquoted()
			value, at := w.node(fields.Value(), name, depth+1)
			n.Fields = append(n.Fields, Field{Key: name, KeySpan: at.label(), Value: value})
			children = append(children, at)
		}
	case cue.ListKind:
		n.Kind = List
		items, _ := final.List()
		for items.Next() {
			value, at := w.node(items.Value(), "", depth+1)
			n.Items = append(n.Items, value)
			children = append(children, at)
		}
	}
	at := w.written.find(v, key, children)
	n.Span = at.value()
	if n.Kind != Map && n.Kind != List {
		w.scalar(n, final)
	}
	return n, at
}

// inherit gives values that nobody wrote the place of what is around them.
func inherit(n *Node, around source.Span) {
	if !n.Span.IsValid() {
		n.Span = around
	}
	for i := range n.Fields {
		if !n.Fields[i].KeySpan.IsValid() {
			n.Fields[i].KeySpan = n.Span
		}
		inherit(n.Fields[i].Value, n.Span)
	}
	for _, item := range n.Items {
		inherit(item, n.Span)
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
