package deploy

import (
	"os"
	"os/exec"
	"testing"
)

// run runs a command at the top of the source tree, with the programs of a directory.
func run(t *testing.T, kubeconfig, bin, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command)
	cmd.Dir = path(t, ".")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("$ %s\n%v\n%s", command, err, out)
	}
}
