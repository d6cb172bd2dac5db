package linkerd

import (
	"maps"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// shape judges a document by table fields: names of fields, types, and whether a
// field is read at all.
type shape struct{ translate.Report }

func (s *shape) document(kind string) {
	for _, f := range s.Doc.Root.Fields {
		switch f.Key {
		case "apiVersion", "kind", "metadata", "status":
		case "spec":
			s.object(f.Value, kind, "spec")
		default:
			d := s.Errorf(load.CodeSchema, f.KeySpan, "unknown field %s: want one of metadata, spec", f.Key)
			if _, found := fields[kind][f.Key]; found {
				d.Fix = &diag.Fix{Message: "write it under spec"}
			}
		}
	}
	if s.Doc.Root.Get("spec") == nil {
		s.Errorf(load.CodeSchema, s.Doc.Root.Nearest("kind"), "this %s has no spec", kind)
	}
}

func (s *shape) object(n *load.Node, of, name string) {
	if n.Kind != load.Map {
		s.WrongType(n, name, "an object")
		return
	}
	known := fields[of]
	for _, f := range n.Fields {
		use, found := known[f.Key]
		switch {
		case !found:
			s.unknown(f, known)
		case use.refuses != "" && !empty(f.Value):
			d := s.Errorf(translate.CodeUnsupported, f.KeySpan, "field %s is not supported", f.Key)
			d.Fix = &diag.Fix{Message: use.refuses}
		case use.refuses == "":
			s.field(f, use)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if known[key].required && n.Get(key) == nil {
			s.Errorf(load.CodeSchema, n.Span, "%s has no %s", name, key)
		}
	}
}

// empty reports a value that says what its absence says.
func empty(n *load.Node) bool {
	return n.Kind == load.List && len(n.Items) == 0 || n.Kind == load.Bool && n.Text == "false"
}

func (s *shape) field(f load.Field, use field) {
	holds, list := use.item()
	if !list {
		s.value(f.Value, holds, f.Key)
		return
	}
	if f.Value.Kind != load.List {
		s.WrongType(f.Value, f.Key, "a list")
		return
	}
	for _, item := range f.Value.Items {
		s.value(item, holds, f.Key)
	}
}

func (s *shape) value(n *load.Node, holds, name string) {
	switch holds {
	case "any":
	case "string":
		s.scalar(n, name, "a string", load.String)
	case "integer":
		s.scalar(n, name, "an integer", load.Int)
	case "number":
		s.scalar(n, name, "a number", load.Int, load.Float)
	case "boolean":
		s.scalar(n, name, "a boolean", load.Bool)
	case "port":
		s.scalar(n, name, "a string or an integer", load.Int, load.String)
	case "labels":
		if n.Kind != load.Map {
			s.WrongType(n, name, "an object")
			return
		}
		for _, f := range n.Fields {
			s.scalar(f.Value, name+" "+f.Key, "a string", load.String)
		}
	default:
		s.object(n, holds, name)
	}
}

func (s *shape) scalar(n *load.Node, name, want string, kinds ...load.Kind) {
	if !slices.Contains(kinds, n.Kind) {
		s.WrongType(n, name, want)
	}
}

// unknown reports a field that does not exist, and where it may belong: a condition
// that is misplaced would otherwise be no condition at all.
func (s *shape) unknown(f load.Field, known map[string]field) {
	names := slices.Sorted(maps.Keys(known))
	d := s.Errorf(load.CodeSchema, f.KeySpan, "unknown field %s: want one of %s", f.Key, strings.Join(names, ", "))
	if near := load.Nearest(f.Key, names); near != "" {
		d.Fix = &diag.Fix{Message: "did you mean " + near + "?"}
		return
	}
	for _, name := range names {
		if _, found := below(known[name])[f.Key]; found {
			d.Fix = &diag.Fix{Message: "write it under " + name}
			return
		}
	}
}
