package open

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// contents reads every policy file that can be read.
func contents(t *testing.T, fsys fs.FS) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			data = []byte("ERROR")
		}
		got[name] = string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, path string) *Tree {
	t.Helper()
	tree, err := Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

var repository = map[string]string{
	"a.yaml":           "a: 1\n",
	"sub/b.cue":        "b: 2\n",
	"sub/link.yaml":    "-> ../a.yaml",
	"sub/escape.yaml":  "-> ../../secret.yaml",
	"sub/dangle.yaml":  "-> nowhere.yaml",
	"sub/abs.yaml":     "-> /etc/hosts",
	"README.md":        "no policy\n",
	".tools/x.yaml":    "hidden: 1\n",
	"Kustomization":    "namespace: x\n",
	"deep/er/one.json": "{}\n",
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"secret.yaml": "s: 1\n"})
	write(t, filepath.Join(dir, "repo"), repository)
	got := contents(t, open(t, filepath.Join(dir, "repo")).FS)
	for name, want := range map[string]string{"a.yaml": "a: 1\n", "sub/link.yaml": "a: 1\n", "sub/escape.yaml": "ERROR", "sub/abs.yaml": "ERROR"} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}

func TestFileAndStream(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": "a: 1\n", "b.yaml": "b: 1\n", "kustomization.yaml": "namespace: x\n", "c.txt": "c\n"})
	got := contents(t, open(t, filepath.Join(dir, "a.yaml")).FS)
	if diff := cmp.Diff(map[string]string{"a.yaml": "a: 1\n", "kustomization.yaml": "namespace: x\n"}, got); diff != "" {
		t.Error(diff)
	}
	tree, err := Open(t.Context(), "-", strings.NewReader("a: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{StdinName: "a: 2\n"}, contents(t, tree.FS)); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{filepath.Join(dir, "c.txt"), filepath.Join(dir, "missing"), "git:", "git:-x", "git:--output=x"} {
		if _, err := Open(t.Context(), path, nil); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
}

func archiveOf(t *testing.T, files map[string]string, compress bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		h := &tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(text))}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			h.Typeflag, h.Linkname, h.Size, text = tar.TypeSymlink, target, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !compress {
		return b.Bytes()
	}
	var z bytes.Buffer
	gz := gzip.NewWriter(&z)
	if _, err := gz.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// wantInMemory is repository as it is read into memory.
var wantInMemory = map[string]string{
	"a.yaml": "a: 1\n", "sub/b.cue": "b: 2\n", "sub/link.yaml": "a: 1\n", "sub/escape.yaml": "ERROR", "sub/dangle.yaml": "ERROR",
	"sub/abs.yaml": "ERROR", "Kustomization": "namespace: x\n", "deep/er/one.json": "{}\n",
}

func TestTar(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"repo.tar", "repo.tar.gz", "repo.tgz"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, archiveOf(t, repository, name != "repo.tar"), 0o644); err != nil {
			t.Fatal(err)
		}
		tree := open(t, path)
		if diff := cmp.Diff(wantInMemory, contents(t, tree.FS)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if err := fstest.TestFS(noLinks(tree.FS), "a.yaml", "sub/b.cue"); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"../a.yaml", "/a.yaml", "a/../../b.yaml"} {
		path := filepath.Join(dir, "bad.tar")
		if err := os.WriteFile(path, archiveOf(t, map[string]string{name: "a: 1\n"}, false), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path, nil); err == nil {
			t.Errorf("an archive with %s was opened", name)
		}
	}
}

// noLinks drops the files that cannot be opened, which fstest does not expect.
func noLinks(fsys fs.FS) fs.FS {
	m := newMemory()
	for name, f := range fsys.(*memory).files {
		if f.err == nil {
			m.files[name] = f
		}
	}
	if err := m.index(); err != nil {
		panic(err)
	}
	return m
}

func TestTruncatesLargeFiles(t *testing.T) {
	m := newMemory()
	if err := m.add("a.yaml", strings.NewReader(strings.Repeat("a", maxFile+100))); err != nil {
		t.Fatal(err)
	}
	if n := len(m.files["a.yaml"].data); n != maxFile+1 {
		t.Errorf("kept %d bytes", n)
	}
}

func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestGit(t *testing.T) {
	dir := t.TempDir()
	runGit(t, dir, "init", "-q")
	write(t, dir, repository)
	// None of these attributes may change or hide what a commit holds.
	write(t, dir, map[string]string{".gitattributes": "a.yaml export-ignore\n*.cue export-subst eol=crlf\n", "größe.yaml": "g: 1\n"})
	runGit(t, dir, "add", "-A")
	runGit(t, dir, "commit", "-q", "-m", "one")
	first := runGit(t, dir, "rev-parse", "HEAD")
	write(t, dir, map[string]string{"a.yaml": "a: 2\n"})
	runGit(t, dir, "commit", "-q", "-a", "-m", "two")

	for _, test := range []struct {
		rev, sub string
		want     map[string]string
	}{
		{"main~1", "", with(wantInMemory, "größe.yaml", "g: 1\n")},
		{"main", "", with(with(with(wantInMemory, "größe.yaml", "g: 1\n"), "a.yaml", "a: 2\n"), "sub/link.yaml", "a: 2\n")},
		{"main", "deep/", map[string]string{"er/one.json": "{}\n"}},
		{"main", "a.yaml", map[string]string{"a.yaml": "a: 2\n"}},
	} {
		tree, err := Git(context.Background(), dir, test.rev, test.sub)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, contents(t, tree.FS)); diff != "" {
			t.Errorf("%s:%s: %s", test.rev, test.sub, diff)
		}
		if test.rev == "main~1" && tree.Commit != first || len(tree.TreeHash) != 40 {
			t.Errorf("%s: commit %s, tree %s", test.rev, tree.Commit, tree.TreeHash)
		}
	}
	for _, bad := range [][2]string{{"nowhere", ""}, {"main", "missing"}, {"--all", ""}, {"", ""}} {
		tree, err := Git(context.Background(), dir, bad[0], bad[1])
		if err == nil {
			t.Errorf("%v was opened: %+v", bad, tree)
		}
	}
}

func with(m map[string]string, name, text string) map[string]string {
	out := map[string]string{name: text}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}

func TestManyFiles(t *testing.T) {
	m := newMemory()
	for i := range maxFiles {
		m.files[fmt.Sprintf("d%d/f.yaml", i)] = &entry{}
	}
	if err := m.add("one-more.yaml", strings.NewReader("")); err == nil {
		t.Error("more files than the limit were read")
	}
}
