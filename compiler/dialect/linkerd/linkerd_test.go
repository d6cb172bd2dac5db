package linkerd

import (
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

func TestGolden(t *testing.T) {
	dialecttest.Golden(t, "testdata/*.txtar", dialecttest.ByKind(Translators()))
}

func TestWrong(t *testing.T) {
	dialecttest.Wrong(t, "testdata/wrong/*.yaml", dialecttest.ByKind(Translators()))
}

func FuzzTranslate(f *testing.F) {
	dialecttest.Fuzz(f, dialecttest.ByKind(Translators()), "testdata/*.txtar", "testdata/wrong/*.yaml")
}
