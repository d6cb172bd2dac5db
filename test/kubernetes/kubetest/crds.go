package kubetest

import (
	"os"
	"path/filepath"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

// InstallCRDs applies CRDs of others, as files below .tools/crds that match a pattern, and waits
// until the API server serves them. A test is skipped where they are not installed; under CI it
// fails.
func (c *Cluster) InstallCRDs(t T, pattern string) {
	t.Helper()
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, ".tools", "crds", pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatalf("no CRDs are %s: run make tools", pattern)
		}
		t.Skip("no CRDs are " + pattern + ": run make tools")
	}
	var args []string
	for _, file := range files {
		args = append(args, "-f", file)
	}
	c.Kubectl(t, append([]string{"apply", "--server-side"}, args...)...)
	c.Kubectl(t, append([]string{"wait", "--for=condition=Established", "--timeout=60s"}, args...)...)
}
