package gatewayapi

import (
	"reflect"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
)

// Reference says what becomes of each field of the kinds that are read, in the order of
// the Go types.
func Reference() []translate.KindReference {
	var out []translate.KindReference
	for _, k := range kinds {
		types := map[string]reflect.Type{}
		see := func(t reflect.Type) string {
			types[t.Name()] = t
			return t.Name()
		}
		r := translate.KindReference{Kind: k.name}
		for _, v := range k.versions {
			r.Versions = append(r.Versions, k.group+"/"+v)
		}
		r.Objects = translate.Walk(see(k.spec), func(object string) []translate.FieldReference { return describe(types[object], see) })
		out = append(out, r)
	}
	return out
}

func describe(of reflect.Type, see func(reflect.Type) string) []translate.FieldReference {
	var out []translate.FieldReference
	for _, m := range members(of) {
		f := translate.FieldReference{Name: m.name, Type: typeName(m.of), Support: translate.Supported}
		if why, ok := fields[of.Name()].warns[m.name]; ok {
			f.Support, f.Instead = translate.Warned, why
		} else if !treatments[of.Name()][m.name] {
			f.Support, f.Instead = translate.Refused, fields[of.Name()].refuses[m.name]
		}
		if t := element(m.of); t.Kind() == reflect.Struct && treatments[t.Name()] != nil {
			f.Object = see(t)
		}
		out = append(out, f)
	}
	return out
}

func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "object of " + typeName(t.Elem()) + " by " + typeName(t.Key())
	case reflect.Struct:
		return t.Name()
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		if t.Name() == "Duration" {
			return "duration"
		}
		return "string"
	}
	return "integer"
}
