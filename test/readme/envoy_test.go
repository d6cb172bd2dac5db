package readme_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

// TestOldestEnvoy: what is supported is said as the compiler says it to the agents.
func TestOldestEnvoy(t *testing.T) {
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "status.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "Envoy " + compiler.MinEnvoy + " or later"; !strings.Contains(string(text), want) {
		t.Errorf("docs/status.md does not say %q", want)
	}
}
