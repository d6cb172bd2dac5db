package deploy

import (
	"os"
	"testing"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// applyFlux applies the CRDs of Flux's sources and Kustomizations, which make tools
// takes from their modules.
func applyFlux(t *testing.T, cluster *kubetest.Cluster) {
	t.Helper()
	dir := path(t, ".tools/crds")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no CRDs of Flux, run make tools: ", err)
	}
	cluster.Kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", dir)
}
