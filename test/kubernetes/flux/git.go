// Package flux is the way of a commit into a cluster: a git server over HTTP, a
// stand-in for Flux's source-controller, which cannot be built here, and the real
// kustomize-controller. In go commits that are really pushed; out come artifacts and
// source objects as source-controller's contract says, and what kustomize-controller
// makes of them. The stand-in proves the contract and its consumers, and nothing about
// source-controller itself.
package flux

import (
	"context"
	"fmt"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// Repository is a bare git repository behind HTTP, and a clone of it to commit in.
type Repository struct {
	URL string
	Dir string // the clone
}

// NewRepository serves an empty repository and fills it with the files of a directory.
func NewRepository(t kubetest.T, files string) *Repository {
	t.Helper()
	backend, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &Repository{Dir: filepath.Join(dir, "clone")}
	bare := filepath.Join(dir, "served", "policies.git")
	run := func(where string, args ...string) {
		t.Helper()
		if out, err := git(t.Context(), where, args...); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	run("", "init", "-q", "--bare", "-b", "main", bare)
	run(bare, "config", "http.receivepack", "true")
	server := httptest.NewServer(&cgi.Handler{
		Path: backend, Args: []string{"http-backend"},
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Join(dir, "served"), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=shop"},
	})
	t.Cleanup(server.Close)
	r.URL = server.URL + "/policies.git"
	run("", "clone", "-q", r.URL, r.Dir)
	run(r.Dir, "checkout", "-q", "-B", "main")
	if err := os.CopyFS(r.Dir, os.DirFS(files)); err != nil {
		t.Fatal(err)
	}
	r.Push(t, "the first commit")
	return r
}

// git runs git with an identity, and none of the user's settings.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	settings := []string{"-c", "user.name=shop", "-c", "user.email=shop@example.com", "-c", "commit.gpgsign=false"}
	cmd := exec.CommandContext(ctx, "git", append(settings, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Write writes a file of the clone; "" removes it.
func (r *Repository) Write(t kubetest.T, name, text string) {
	t.Helper()
	file := filepath.Join(r.Dir, name)
	err := os.Remove(file)
	if text != "" {
		err = os.WriteFile(file, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Push commits what the clone holds, pushes it, and returns the commit.
func (r *Repository) Push(t kubetest.T, message string) (commit string) {
	t.Helper()
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", message}, {"push", "-q", "origin", "main"}, {"rev-parse", "HEAD"}} {
		out, err := git(t.Context(), r.Dir, args...)
		if err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
		commit = out
	}
	return commit
}

// Change is Write and Push, with the file's name for a message.
func (r *Repository) Change(t kubetest.T, name, text string) (commit string) {
	t.Helper()
	r.Write(t, name, text)
	return r.Push(t, fmt.Sprintf("change %s", name))
}
