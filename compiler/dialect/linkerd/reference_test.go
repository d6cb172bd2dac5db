package linkerd

import (
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

// TestReference keeps the page equal to the tables.
func TestReference(t *testing.T) {
	dialecttest.Reference(t, "../../../docs/reference/linkerd.md", "Fields of Linkerd", Reference())
}
