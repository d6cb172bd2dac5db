package istio

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// shape judges a document by the descriptor of its kind: names of fields, types,
// unions, and whether a field is read at all. Names are those of Istio's CRDs:
// the API server prunes the snake_case spelling that protobuf's JSON would take.
type shape struct{ translate.Report }

func (s *shape) document(spec protoreflect.MessageDescriptor) {
	for _, f := range s.Doc.Root.Fields {
		switch f.Key {
		case "apiVersion", "kind", "metadata", "status":
		case "spec":
			s.message(f.Value, spec, "spec")
		default:
			s.unknown(f, spec, []string{"spec", "metadata"}, "spec")
		}
	}
}

// message judges an object. name is its field's, for diagnostics.
func (s *shape) message(n *load.Node, md protoreflect.MessageDescriptor, name string) {
	if n.Kind != load.Map {
		s.WrongType(n, name, "an object")
		return
	}
	rules := treatments[messageName(md)]
	for _, f := range n.Fields {
		fd := md.Fields().ByJSONName(f.Key)
		if fd == nil {
			s.unknown(f, md, nil, "")
			continue
		}
		r := rules[f.Key]
		if r.treatment == refused && !isDefault(f.Value, fd) {
			s.refuse(f, r.instead)
			continue // what is within it has no meaning either
		}
		if r.treatment == warned {
			d := s.Add(translate.CodeValue, diag.Warning, f.KeySpan, "%s is deprecated in Istio", f.Key)
			d.Fix = &diag.Fix{Message: r.instead}
		}
		s.field(f, fd)
	}
	s.unions(n, md)
}

// messageName is the message's name within its package, as table fields has it. What
// several of Istio's APIs share begins with "type.": its WorkloadSelector has other
// fields than the one of networking.
func messageName(md protoreflect.MessageDescriptor) string {
	pkg := string(md.ParentFile().Package())
	name := strings.TrimPrefix(string(md.FullName()), pkg+".")
	if strings.HasPrefix(pkg, "istio.type.") {
		return "type." + name
	}
	return name
}

func (s *shape) refuse(f load.Field, instead string) {
	d := s.Errorf(translate.CodeUnsupported, f.KeySpan, "field %s is not supported", f.Key)
	if instead == "" {
		instead = "remove it: it would have no effect"
	}
	d.Fix = &diag.Fix{Message: instead}
}

// isDefault reports whether a value says what its absence says.
func isDefault(n *load.Node, fd protoreflect.FieldDescriptor) bool {
	switch {
	case n.Kind == load.List && fd.IsList():
		return len(n.Items) == 0
	case n.Kind == load.Map && fd.IsMap():
		return len(n.Fields) == 0
	case n.Kind == load.Bool:
		return n.Text == "false"
	}
	return n.Kind == load.String && fd.Kind() == protoreflect.StringKind && n.Text == ""
}

// unknown reports a field that does not exist, and where it may belong: a
// condition that is misplaced would otherwise be no condition at all.
func (s *shape) unknown(f load.Field, md protoreflect.MessageDescriptor, names []string, below string) {
	for i := range md.Fields().Len() {
		if below == "" {
			names = append(names, md.Fields().Get(i).JSONName())
		}
	}
	slices.Sort(names)
	d := s.Errorf(load.CodeSchema, f.KeySpan, "unknown field %s: want one of %s", f.Key, strings.Join(names, ", "))
	place := within(md, f.Key, 2)
	if below != "" && md.Fields().ByJSONName(f.Key) != nil {
		place = below
	}
	if snake := md.Fields().ByName(protoreflect.Name(f.Key)); snake != nil {
		d.Fix = &diag.Fix{Message: "write " + snake.JSONName() + ": Kubernetes drops the other spelling"}
	} else if near := load.Nearest(f.Key, names); near != "" {
		d.Fix = &diag.Fix{Message: "did you mean " + near + "?"}
	} else if place != "" {
		d.Fix = &diag.Fix{Message: "write it under " + place}
	}
}

// within finds the path of a field below a message, "" where there is none.
func within(md protoreflect.MessageDescriptor, name string, depth int) string {
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if fd.Message() == nil || fd.IsMap() || depth == 0 {
			continue
		}
		if fd.Message().Fields().ByJSONName(name) != nil {
			return fd.JSONName()
		}
		if rest := within(fd.Message(), name, depth-1); rest != "" {
			return fd.JSONName() + "." + rest
		}
	}
	return ""
}

// unions refuses two fields of which only one may be set.
func (s *shape) unions(n *load.Node, md protoreflect.MessageDescriptor) {
	for i := range md.Oneofs().Len() {
		var first *load.Field
		members := md.Oneofs().Get(i).Fields()
		for j := range members.Len() {
			f := n.Field(members.Get(j).JSONName())
			if f == nil {
				continue
			}
			if first == nil {
				first = f
				continue
			}
			d := s.Errorf(load.CodeSchema, f.KeySpan, "%s stands beside %s: write one of them", f.Key, first.Key)
			d.Related = []diag.Related{{Span: first.KeySpan, Message: first.Key}}
		}
	}
}

// field judges the value of a field: a map, a list or a single value.
func (s *shape) field(f load.Field, fd protoreflect.FieldDescriptor) {
	switch {
	case fd.IsMap():
		if f.Value.Kind != load.Map {
			s.WrongType(f.Value, f.Key, "an object")
			return
		}
		for _, entry := range f.Value.Fields {
			s.value(entry.Value, fd.MapValue(), f.Key+" "+entry.Key)
		}
	case fd.IsList():
		if f.Value.Kind != load.List {
			s.WrongType(f.Value, f.Key, "a list")
			return
		}
		for _, item := range f.Value.Items {
			s.value(item, fd, f.Key)
		}
	default:
		s.value(f.Value, fd, f.Key)
	}
}

// value judges one value. protobuf's wrappers are scalars that may be absent,
// and its Duration is a string.
func (s *shape) value(n *load.Node, fd protoreflect.FieldDescriptor, name string) {
	md := fd.Message()
	switch {
	case md == nil:
		s.scalar(n, fd, name)
	case md.FullName() == "google.protobuf.Duration":
		if n.Kind != load.String {
			s.WrongType(n, name, "a duration such as \"2s\"")
		}
	case md.ParentFile().Path() == "google/protobuf/wrappers.proto":
		s.scalar(n, md.Fields().ByName("value"), name)
	default:
		s.message(n, md, name)
	}
}

func (s *shape) scalar(n *load.Node, fd protoreflect.FieldDescriptor, name string) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		if n.Kind != load.String {
			s.WrongType(n, name, "a string")
		}
	case protoreflect.BytesKind:
		if n.Kind != load.String {
			s.WrongType(n, name, "a base64 string")
		} else if _, err := base64.StdEncoding.DecodeString(n.Text); err != nil {
			s.Errorf(load.CodeSchema, n.Span, "%s is not base64: %v", name, err)
		}
	case protoreflect.BoolKind:
		if n.Kind != load.Bool {
			s.WrongType(n, name, "true or false")
		}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		if n.Kind != load.Int && n.Kind != load.Float {
			s.WrongType(n, name, "a number")
		}
	case protoreflect.EnumKind:
		s.enum(n, fd.Enum(), name)
	default:
		s.integer(n, fd.Kind(), name)
	}
}

func (s *shape) enum(n *load.Node, ed protoreflect.EnumDescriptor, name string) {
	if n.Kind != load.String {
		s.WrongType(n, name, "a string")
		return
	}
	if ed.Values().ByName(protoreflect.Name(n.Text)) != nil {
		return
	}
	var names []string
	for i := range ed.Values().Len() {
		names = append(names, string(ed.Values().Get(i).Name()))
	}
	d := s.Errorf(load.CodeSchema, n.Span, "%s %q: want one of %s", name, n.Text, strings.Join(names, ", "))
	if near := load.Nearest(n.Text, names); near != "" {
		d.Fix = &diag.Fix{Message: "did you mean " + near + "?"}
	}
}

func (s *shape) integer(n *load.Node, k protoreflect.Kind, name string) {
	if n.Kind != load.Int {
		s.WrongType(n, name, "a whole number")
		return
	}
	var err error
	switch k {
	case protoreflect.Uint32Kind:
		_, err = strconv.ParseUint(n.Text, 10, 32)
	case protoreflect.Uint64Kind:
		_, err = strconv.ParseUint(n.Text, 10, 64)
	case protoreflect.Int64Kind:
		_, err = strconv.ParseInt(n.Text, 10, 64)
	default:
		_, err = strconv.ParseInt(n.Text, 10, 32)
	}
	if err != nil {
		s.Errorf(load.CodeSchema, n.Span, "%s %s is out of range", name, n.Text)
	}
}
