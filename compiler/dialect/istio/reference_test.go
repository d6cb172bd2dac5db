package istio

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

// TestReference keeps docs/reference/istio.md equal to the table and the descriptors.
func TestReference(t *testing.T) {
	var all []dialecttest.Kind
	reached := map[string]protoreflect.MessageDescriptor{}
	for name, k := range kinds {
		md := k.spec.ProtoReflect().Descriptor()
		all = append(all, dialecttest.Kind{Name: name, Versions: k.versions, Object: messageName(md)})
		reach(t, md, reached)
	}
	objects := map[string][]dialecttest.Field{}
	for name, md := range reached {
		for i := range md.Fields().Len() {
			objects[name] = append(objects[name], reference(name, md.Fields().Get(i)))
		}
	}
	dialecttest.Reference(t, "../../../docs/reference/istio.md", "Fields of Istio", all, objects)
}

func reference(message string, fd protoreflect.FieldDescriptor) dialecttest.Field {
	r := treatments[message][fd.JSONName()]
	f := dialecttest.Field{Name: fd.JSONName(), Instead: r.instead}
	f.Treatment = map[treatment]string{refused: "refused", read: "supported", warned: "warned"}[r.treatment]
	switch {
	case fd.IsMap():
		f.Type, f.Object = typeName(fd.MapValue())
		f.Type = "map of " + f.Type
	case fd.IsList():
		f.Type, f.Object = typeName(fd)
		f.Type = "list of " + f.Type
	default:
		f.Type, f.Object = typeName(fd)
	}
	return f
}

// typeName is the type of a value as documents have it, and the object that it is.
func typeName(fd protoreflect.FieldDescriptor) (name, object string) {
	md := fd.Message()
	switch {
	case fd.Enum() != nil:
		return "enum " + string(fd.Enum().Name()), ""
	case md == nil:
		return fd.Kind().String(), ""
	case md.FullName() == "google.protobuf.Duration":
		return "duration", ""
	case md.ParentFile().Path() == "google/protobuf/wrappers.proto":
		return md.Fields().ByName("value").Kind().String(), ""
	}
	return messageName(md), messageName(md)
}
