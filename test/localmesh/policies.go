package localmesh

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// git runs git in the policy repository.
func (m *Mesh) git(ctx context.Context, args ...string) error {
	settings := []string{"-c", "user.name=shop", "-c", "user.email=shop@example.com", "-c", "commit.gpgsign=false"}
	cmd := exec.CommandContext(ctx, "git", append(settings, args...)...)
	cmd.Dir = m.Policies()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(out)))
	}
	return nil
}

// Commit commits what the policy repository holds now.
func (m *Mesh) Commit(ctx context.Context, message string) error {
	if err := m.git(ctx, "add", "-A"); err != nil {
		return err
	}
	return m.git(ctx, "commit", "-q", "-m", message)
}

// Write writes a policy file; "" removes it. Addresses are moved to the mesh's network.
func (m *Mesh) Write(file, text string) error {
	name := filepath.Join(m.Policies(), file)
	if text == "" {
		return os.Remove(name)
	}
	return os.WriteFile(name, m.move([]byte(text)), 0o644)
}

// Edit replaces text that a policy file has once.
func (m *Mesh) Edit(file, old, replacement string) error {
	data, err := os.ReadFile(filepath.Join(m.Policies(), file))
	if err != nil {
		return err
	}
	if strings.Count(string(data), old) != 1 {
		return fmt.Errorf("editing %s: want %q once", file, old)
	}
	return m.Write(file, strings.Replace(string(data), old, replacement, 1))
}

// Revert undoes the last commit by another.
func (m *Mesh) Revert(ctx context.Context) error { return m.git(ctx, "revert", "--no-edit", "HEAD") }
