package kubetest

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kubectl runs the real kubectl as an administrator and returns what it prints; a test ends where
// it fails.
func (c *Cluster) Kubectl(t T, args ...string) string {
	t.Helper()
	out, err := c.TryKubectl(t, "", args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryKubectl runs kubectl with a standard input, and returns what it prints on both outputs.
func (c *Cluster) TryKubectl(t T, stdin string, args ...string) (string, error) {
	t.Helper()
	args = append([]string{"--cache-dir", filepath.Join(c.Dir, "kubectl")}, args...)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), c.kubectl, args...)
	cmd.Env = []string{"KUBECONFIG=" + c.kubeconfig, "HOME=" + c.Dir, "PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Apply applies manifests with server-side apply; a test ends where one is refused.
func (c *Cluster) Apply(t T, manifests string) {
	t.Helper()
	if out, err := c.TryApply(t, manifests); err != nil {
		t.Fatalf("kubectl apply: %v\n%s\n%s", err, out, manifests)
	}
}

// TryApply is Apply that returns what kubectl says.
func (c *Cluster) TryApply(t T, manifests string, args ...string) (string, error) {
	t.Helper()
	return c.TryKubectl(t, manifests, append([]string{"apply", "--server-side", "--force-conflicts", "-f", "-"}, args...)...)
}
