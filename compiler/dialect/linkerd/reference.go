package linkerd

import (
	"maps"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
)

// Reference says what becomes of each field of the kinds that are read, by name.
func Reference() []translate.KindReference {
	var out []translate.KindReference
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, translate.KindReference{Kind: name, Versions: kinds[name].versions, Objects: translate.Walk(name, describe)})
	}
	return out
}

func describe(object string) []translate.FieldReference {
	var out []translate.FieldReference
	for _, name := range slices.Sorted(maps.Keys(fields[object])) {
		f := fields[object][name]
		holds, isList := strings.CutPrefix(f.holds, "[]")
		r := translate.FieldReference{Name: name, Type: typeName(holds), Support: translate.Supported}
		if isList {
			r.Type = "list of " + r.Type
		}
		if f.refuses != "" {
			r.Support, r.Instead = translate.Refused, f.refuses
		}
		if fields[holds] != nil {
			r.Object = holds
		}
		out = append(out, r)
	}
	return out
}

func typeName(holds string) string {
	switch holds {
	case "port":
		return "string or integer"
	case "labels":
		return "object of string by string"
	case "any", "":
		return "object"
	}
	return holds
}
