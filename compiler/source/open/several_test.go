package open

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestSeveral(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"base/a.yaml": "a: 1\n", "base/sub/b.yaml": "b: 1\n", "base/unnamed.yaml": "no\n",
		"base/kustomization.yaml": "namespace: x\n", "overlay/c.yaml": "c: 1\n",
	})
	t.Chdir(filepath.Join(dir, "overlay"))
	tree, err := Several(t.Context(), []string{"../base/a.yaml", "../base/sub", ".", "-"}, strings.NewReader("s: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	want := map[string]string{
		"base/a.yaml": "a: 1\n", "base/kustomization.yaml": "namespace: x\n", "base/sub/b.yaml": "b: 1\n",
		"overlay/c.yaml": "c: 1\n", "overlay/stdin.yaml": "s: 1\n",
	}
	if diff := cmp.Diff(want, contents(t, tree.FS)); diff != "" {
		t.Error(diff)
	}
	if tree.Dir != ".." {
		t.Errorf("Dir is %q, want ..", tree.Dir)
	}
	if err := fstest.TestFS(tree.FS, "base/a.yaml", "base/sub/b.yaml", "overlay/c.yaml"); err != nil {
		t.Error(err)
	}
}

func TestSeveralRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a/a.yaml": "a: 1\n", "b/b.yaml": "b: 1\n", "stdin.yaml": "c: 1\n"})
	t.Chdir(dir)
	for want, paths := range map[string][]string{
		"overlap":      {"a", "b", "a/a.yaml"},
		"read alone":   {"a", "git:HEAD"},
		"be read once": {"-", "a", "-"},
		"no such file": {"a", "missing"},
		"rename it":    {"b", "stdin.yaml", "-"},
	} {
		if _, err := Several(t.Context(), paths, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", paths, err, want)
		}
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"p/a.yaml": "a: 1\n"})
	runGit(t, dir, "init", "-q")
	runGit(t, dir, "add", "-A")
	runGit(t, dir, "commit", "-q", "-m", "one")
	t.Chdir(dir)
	for path, want := range map[string]string{
		"p": "p", "p/": "p", ".": ".", "p/a.yaml": "p", "git:HEAD": "", "git:HEAD:p": "p", "git:HEAD:p/a.yaml": "p",
	} {
		if got := open(t, path).Dir; got != want {
			t.Errorf("%s: Dir is %q, want %q", path, got, want)
		}
	}
}
