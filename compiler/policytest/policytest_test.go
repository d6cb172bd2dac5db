package policytest_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/policytest"
)

var update = flag.Bool("update", false, "rewrite the output of the fixtures")

// TestFixtures runs the PolicyTests of each archive; "output" is what is printed,
// with the rules that the cases met.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			last := &archive.Files[len(archive.Files)-1]
			input := fstest.MapFS{}
			for _, f := range archive.Files[:len(archive.Files)-1] {
				input[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			var got bytes.Buffer
			m := compile(t, input)
			results := policytest.Run(m)
			if err := policytest.Text(&got, results, "", true); err != nil {
				t.Fatal(err)
			}
			if err := policytest.Cover(m, results, "").Text(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(last.Data), got.String()); diff != "" && !*update {
				t.Errorf("%s (-want +got):\n%s", last.Name, diff)
			}
			if last.Data = got.Bytes(); *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func compile(t *testing.T, input fstest.MapFS) *check.Mesh {
	t.Helper()
	loaded, diags := load.Load(input, load.Options{Groups: dialect.Reading})
	var fragments []*mesh.Fragment
	for _, doc := range loaded.Documents {
		f, found := dialect.Translate(doc)
		fragments, diags = append(fragments, f), append(diags, found...)
	}
	m, found := check.Run(fragments, check.Options{})
	if diags = append(diags, found...); diags.HasErrors() {
		for i := range diags {
			t.Errorf("%s: %s", diags[i].Span, diags[i].Message)
		}
		t.FailNow()
	}
	return m
}
