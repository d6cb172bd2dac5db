package linkerd

import (
	"maps"
	"slices"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

// TestReference keeps docs/reference/linkerd.md equal to the tables.
func TestReference(t *testing.T) {
	var all []dialecttest.Kind
	for name, k := range kinds {
		all = append(all, dialecttest.Kind{Name: name, Versions: k.versions, Object: name})
	}
	objects := map[string][]dialecttest.Field{}
	for object, of := range fields {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			objects[object] = append(objects[object], reference(name, of[name]))
		}
	}
	dialecttest.Reference(t, "../../../docs/reference/linkerd.md", "Fields of Linkerd", all, objects)
}

func reference(name string, f field) dialecttest.Field {
	if f.refuses != "" {
		return dialecttest.Field{Name: name, Treatment: "refused", Instead: f.refuses}
	}
	holds, list := f.item()
	out := dialecttest.Field{Name: name, Type: holds, Object: holds, Treatment: "supported"}
	if list {
		out.Type = "list of " + holds
	}
	if f.required {
		out.Type += ", required"
	}
	return out
}
