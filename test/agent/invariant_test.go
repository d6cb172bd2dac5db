// Package agent holds the compiler and the agent to each other.
package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

// TestAgentTakesWhatTheCompilerMakes: the agent's last look at resources must
// not refuse what the compiler emits for any policy here.
func TestAgentTakesWhatTheCompilerMakes(t *testing.T) {
	t.Parallel()
	var dirs []string
	for _, pattern := range []string{"../../testdata/repos/*", "../../testdata/feature/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, found...)
	}
	leaves := 0
	for _, dir := range dirs {
		result, _ := compiler.Compile(os.DirFS(dir), compiler.Options{})
		if result == nil || result.Release == nil {
			continue // policies with findings, which others look at
		}
		for _, leaf := range result.Release.Leaves() {
			content, err := artifact.Load(leaf, result.Release.Blob)
			if err == nil {
				err = verify.Resources(&sign.Loaded{Content: *content})
			}
			if err != nil {
				t.Errorf("%s, %s: %v", dir, leaf.Workload, err)
			}
			leaves++
		}
	}
	if leaves < 10 {
		t.Errorf("%d workloads were looked at, which shows nothing", leaves)
	}
}
