package telemetry_test

import (
	"os/exec"
	"testing"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

// TestRules: Prometheus takes the rules that are shipped, and they fire when they should.
func TestRules(t *testing.T) {
	t.Parallel()
	promtool := tools.Require(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "../../deploy/monitoring"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
