package passes_test

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/analyzetest"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func compile(files fs.FS) (*check.Mesh, diag.List) {
	loaded, diags := load.Load(files, load.Options{Groups: dialect.Reading})
	var fragments []*mesh.Fragment
	for _, doc := range loaded.Documents {
		f, found := dialect.Translate(doc)
		fragments, diags = append(fragments, f), append(diags, found...)
	}
	m, found := check.Run(fragments, check.Options{})
	return m, append(diags, found...)
}

// onShop compiles files on the background of testdata/shop.yaml.
func onShop(files fs.FS) (*check.Mesh, diag.List) {
	all := fstest.MapFS{}
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		all[path] = &fstest.MapFile{Data: data}
		return err
	})
	background, readErr := os.ReadFile("testdata/shop.yaml")
	if err := errors.Join(err, readErr); err != nil {
		panic(err) // files of this test
	}
	all["shop.yaml"] = &fstest.MapFile{Data: background}
	return compile(all)
}

func TestFixtures(t *testing.T) {
	for _, a := range passes.All() {
		t.Run(string(a.Name), func(t *testing.T) {
			t.Parallel()
			analyzetest.Run(t, string(a.Name)+"/testdata", onShop, a)
		})
	}
}

// TestDocs compiles the examples of every page on the background of
// testdata/shop.yaml: WRONG has the finding, RIGHT does not.
func TestDocs(t *testing.T) {
	for _, a := range passes.All() {
		t.Run(string(a.Name), func(t *testing.T) {
			t.Parallel()
			for _, want := range []string{"WRONG", "RIGHT"} {
				found := ofExample(t, a, example(t, a, want))
				if has := len(found) > 0; has != (want == "WRONG") {
					t.Errorf("%s: findings %s", want, analyzetest.Text(found))
				}
			}
			page := a.Page()
			if page.Title == "" || strings.Contains(page.Title, "\n") || len(page.Catalog) == 0 {
				t.Errorf("page %+v", page)
			}
		})
	}
}

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func example(t *testing.T, a *analyze.Analyzer, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(a.Doc, "\n"+heading+"\n")
	text := fenced.FindStringSubmatch(after)
	if !ok || text == nil {
		t.Fatalf("no %s example", heading)
	}
	return text[1]
}

func ofExample(t *testing.T, a *analyze.Analyzer, text string) diag.List {
	t.Helper()
	m, diags := onShop(fstest.MapFS{"example.yaml": {Data: []byte(text)}})
	if diags.HasErrors() {
		t.Fatalf("the example is wrong:\n%s", analyzetest.Text(diags))
	}
	found, _ := analyze.Run(m, []*analyze.Analyzer{a}, analyze.Options{})
	return found
}

// TestAllIsSorted keeps the list in order and each name its directory's.
func TestAllIsSorted(t *testing.T) {
	var names []string
	for _, a := range passes.All() {
		names = append(names, string(a.Name))
		if _, err := os.Stat(string(a.Name) + "/doc.md"); err != nil {
			t.Error(err)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("not sorted: %v", names)
	}
}
