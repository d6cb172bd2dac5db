package istio

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
)

// Reference says what becomes of each field of the kinds that are read, in the order of
// Istio's API.
func Reference() []translate.KindReference {
	var out []translate.KindReference
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		k := kinds[name]
		messages := map[string]protoreflect.MessageDescriptor{}
		see := func(md protoreflect.MessageDescriptor) string {
			messages[messageName(md)] = md
			return messageName(md)
		}
		out = append(out, translate.KindReference{
			Kind: name, Versions: k.versions,
			Objects: translate.Walk(see(k.spec.ProtoReflect().Descriptor()), func(object string) []translate.FieldReference {
				return describe(messages[object], see)
			}),
		})
	}
	return out
}

func describe(md protoreflect.MessageDescriptor, see func(protoreflect.MessageDescriptor) string) []translate.FieldReference {
	var out []translate.FieldReference
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		r := treatments[messageName(md)][fd.JSONName()]
		f := translate.FieldReference{Name: fd.JSONName(), Type: typeName(fd), Instead: r.instead}
		f.Support = map[treatment]translate.Support{read: translate.Supported, warned: translate.Warned, refused: translate.Refused}[r.treatment]
		if of := valueOf(fd); of.Message() != nil && treatments[messageName(of.Message())] != nil {
			f.Object = see(of.Message())
		}
		out = append(out, f)
	}
	return out
}

// valueOf is the field itself, or the value of a map.
func valueOf(fd protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if fd.IsMap() {
		return fd.MapValue()
	}
	return fd
}

func typeName(fd protoreflect.FieldDescriptor) string {
	name := scalarName(valueOf(fd))
	switch {
	case fd.IsMap():
		return "object of " + name + " by " + scalarName(fd.MapKey())
	case fd.IsList():
		return "list of " + name
	}
	return name
}

func scalarName(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		switch fd.Message().FullName() {
		case "google.protobuf.Duration":
			return "duration"
		case "google.protobuf.BoolValue":
			return "boolean"
		case "google.protobuf.UInt32Value", "google.protobuf.Int32Value", "google.protobuf.UInt64Value":
			return "integer"
		case "google.protobuf.DoubleValue", "google.protobuf.FloatValue":
			return "number"
		case "google.protobuf.Struct":
			return "object"
		}
		return messageName(fd.Message())
	case protoreflect.EnumKind:
		var values []string
		for i := range fd.Enum().Values().Len() {
			values = append(values, string(fd.Enum().Values().Get(i).Name()))
		}
		return strings.Join(values, ", ")
	case protoreflect.BoolKind:
		return "boolean"
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return "number"
	case protoreflect.StringKind, protoreflect.BytesKind:
		return "string"
	}
	return "integer"
}
