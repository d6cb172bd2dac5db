package importorder

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/test/tools"
)

func TestProject(t *testing.T) {
	order, err := Parse(table)
	if err != nil {
		t.Fatal(err)
	}
	packages := list(t)
	if len(packages) < 5 {
		t.Fatalf("go list knows %d packages only", len(packages))
	}
	for _, fault := range order.Check(module, packages) {
		t.Error(fault)
	}
}

// list describes every package of the module.
func list(t *testing.T) []Package {
	t.Helper()
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	touch(t, root)
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []Package
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p Package
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// touch looks at every directory and Go file, so that go test, which cannot see what `go list` reads,
// does not take this test's result from its cache after one has changed.
func touch(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			_, err = os.Stat(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's temporary file
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheck shows that the check can fail, on a project that was made up for it.
func TestCheck(t *testing.T) {
	order, err := Parse(`
a < b
b < c/*   # c/x may import b, and a through it
c/* < d
a < e
k.example/lib !< a, e
b !< e
`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		imports string
		deps    string
		want    []string
	}{
		{name: "b", imports: "m/a fmt k.example/lib", deps: "k.example/lib"},
		{name: "c/x", imports: "m/b m/a"},
		{name: "d", imports: "m/c/x m/c/y/z m/a"},
		{name: "cmd/p", imports: "m/d m/a"},
		{name: "test/p", imports: "m/d m/a"},
		{name: "e", imports: "m/a", deps: "m/a k.example/library"},

		{name: "a", imports: "m/b", want: []string{"a imports b, which the import order does not allow"}},
		{name: "c", imports: "m/a", want: []string{"c imports a, which the import order does not allow"}},
		{name: "c/y/z", imports: "m/c/x", want: []string{"c/y/z imports c/x, which the import order does not allow"}},
		{name: "d", imports: "m/cmd/p m/test/p", want: []string{
			"d imports cmd/p, which the import order does not allow",
			"d imports test/p, which the import order does not allow",
		}},
		{name: "new", imports: "m/a", want: []string{"new imports a, which the import order does not allow"}},
		{name: "e", imports: "m/a", deps: "m/a m/b k.example/lib/sub", want: []string{
			`e depends on k.example/lib/sub, which "k.example/lib !< e" forbids`,
			`e depends on m/b, which "b !< e" forbids`,
		}},
	}
	for _, test := range tests {
		t.Run(test.name+" "+test.imports, func(t *testing.T) {
			packages := []Package{{
				ImportPath: "m/" + test.name,
				Imports:    strings.Fields(test.imports),
				Deps:       strings.Fields(test.deps),
			}}
			for _, other := range strings.Fields("a b c/x c/y/z d e cmd/p test/p") {
				if other != test.name {
					packages = append(packages, Package{ImportPath: "m/" + other})
				}
			}
			if diff := cmp.Diff(test.want, order.Check("m", packages)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"a b", "a, < b", "a < b,"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
