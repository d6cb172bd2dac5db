package dialect

import (
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

// TestAnnotations reads Linkerd's annotations on objects of Kubernetes.
func TestAnnotations(t *testing.T) {
	dialecttest.Golden(t, "testdata/linkerd/*.txtar", Translate)
}

func TestWrongAnnotations(t *testing.T) {
	dialecttest.Wrong(t, "testdata/linkerd/*.yaml", Translate)
}
