package gatewayapi

import (
	"reflect"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

// TestReference keeps docs/reference/gatewayapi.md equal to the table and the types.
func TestReference(t *testing.T) {
	var all []dialecttest.Kind
	reached := map[string]reflect.Type{}
	for _, k := range kinds {
		kind := dialecttest.Kind{Name: k.name, Object: k.spec.Name()}
		for _, v := range k.versions {
			kind.Versions = append(kind.Versions, k.group+"/"+v)
		}
		all = append(all, kind)
		reach(k.spec, reached)
	}
	objects := map[string][]dialecttest.Field{}
	for name, of := range reached {
		for _, m := range members(of) {
			f := dialecttest.Field{Name: m.name, Treatment: "supported"}
			if why, ok := fields[name].warns[m.name]; ok {
				f.Treatment, f.Instead = "warned", why
			} else if !treatments[name][m.name] {
				f.Treatment, f.Instead = "refused", fields[name].refuses[m.name]
			}
			f.Type, f.Object = typeName(m.of)
			objects[name] = append(objects[name], f)
		}
	}
	dialecttest.Reference(t, "../../../docs/reference/gatewayapi.md", "Fields of the Gateway API", all, objects)
}

// typeName is a Go type in words, and the name of the struct that it holds.
func typeName(of reflect.Type) (name, object string) {
	switch of.Kind() {
	case reflect.Pointer:
		return typeName(of.Elem())
	case reflect.Slice:
		name, object = typeName(of.Elem())
		return "list of " + name, object
	case reflect.Map:
		name, object = typeName(of.Elem())
		return "map of " + name, object
	case reflect.Struct:
		return of.Name(), of.Name()
	}
	if of.Name() == of.Kind().String() {
		return of.Name(), ""
	}
	return of.Kind().String() + " " + of.Name(), ""
}
