package policies_test

import (
	"os/exec"
	"testing"

	"github.com/mesh-compile/mesh-compile/policies"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

// TestLibrary runs the library's own tests, and holds it to OPA's format and
// strict checks, with the released OPA.
func TestLibrary(t *testing.T) {
	t.Parallel()
	opa := tools.Require(t, "opa")
	for name, arguments := range map[string][]string{
		"test":   {"test", "lib", "test", "--fail-on-empty"},
		"format": {"fmt", "--list", "--fail", "lib", "test"},
		"strict": {"check", "--strict", "lib", "test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := exec.CommandContext(t.Context(), opa, arguments...).CombinedOutput(); err != nil {
				t.Errorf("opa %v: %v\n%s", arguments, err, out)
			}
		})
	}
}

func TestModules(t *testing.T) {
	t.Parallel()
	modules, err := policies.Library()
	if err != nil || len(modules) == 0 {
		t.Fatalf("%d modules, %v", len(modules), err)
	}
	for i, m := range modules {
		if len(m.Source) == 0 || i > 0 && modules[i-1].Name >= m.Name {
			t.Errorf("module %d, %q: empty or out of order", i, m.Name)
		}
	}
}
