package objects_test

import (
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/source"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// TestLocate: columns of places count bytes, those of the YAML parser characters.
func TestLocate(t *testing.T) {
	set := objects.NewSet().With("shop/a.yaml", []byte("kind: A\nmetadata: {name: a, namespace: shop}\nspec: {\"größe\": 1, b: 2, c: 3}\n"))
	for column, want := range map[int]string{8: "spec.größe", 21: "spec.größe", 22: "spec.b", 27: "spec.b", 28: "spec.c"} {
		if object, field := objects.Locate(set, source.At("shop/a.yaml", 3, column)); object != "A shop/a" || field != want {
			t.Errorf("at column %d: %s %s, want %s", column, object, field, want)
		}
	}
}
