package load_test

import (
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// seed adds the files of all archives with one of the extensions.
func seed(f *testing.F, extensions ...string) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range ar.Files {
			for _, ext := range extensions {
				if filepath.Ext(file.Name) == ext {
					f.Add(file.Data)
				}
			}
		}
	}
}

// FuzzYAML holds the loader to: no panic, every place within the file, and the
// same answer when the file is loaded again and taken over.
func FuzzYAML(f *testing.F) {
	seed(f, ".yaml", ".json")
	for _, text := range []string{"---", "--- |\n a", "%YAML 1.2\n---\na: b", "? a\n: b", "&a [*a]", "a: &x\n  <<: *x", "\xff", "a:\r b", "{a: \"\\ud83d\"}", "a: !!float x", "- - - -", "a: 'x\n  y'\r\n...", "\u2028a: \u0085b"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { check(t, "a.yaml", data, load.Options{}) })
}

// FuzzCUE is the same for CUE.
func FuzzCUE(f *testing.F) {
	seed(f, ".cue")
	for _, text := range []string{"a: b: c: 1", "for x in y {}", "a: a & {b: a}", "@if(x)\npackage a", "import \"a.b/c\"", "{apiVersion: \"v1\", kind: \"List\", items: 3}", "x: {apiVersion: *\"v1\" | \"v2\", kind: \"K\", metadata: name: '\\xff'}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { check(t, "a.cue", data, load.Options{Modules: schemas.CUE()}) })
}

func check(t *testing.T, name string, data []byte, opt load.Options) {
	fsys := fstest.MapFS{name: {Data: data}}
	res, diags := load.Load(fsys, opt)
	for _, d := range res.Documents {
		if !d.Span.IsValid() || d.Root == nil || d.Kind == "" || d.APIVersion == "" {
			t.Errorf("document without a place or a name: %+v", d)
		}
	}
	for _, d := range diags {
		if d.Span.File != name {
			t.Errorf("diagnostic at %s: %s", d.Span, d.Message)
		}
	}
	again, moreDiags := load.Load(fsys, opt)
	if diff := cmp.Diff(diags, moreDiags); diff != "" {
		t.Errorf("loading again: %s", diff)
	}
	if len(again.Documents) != len(res.Documents) {
		t.Fatalf("loading again: %d documents, then %d", len(res.Documents), len(again.Documents))
	}
	opt.Previous = res
	taken, _ := load.Load(fsys, opt)
	for i := range taken.Documents {
		if taken.Documents[i] != res.Documents[i] {
			t.Errorf("document %d of an unchanged file was made again", i)
		}
	}
}
