package load_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/schemas"
)

var update = flag.Bool("update", false, "write what Load answers into testdata/*.txtar")

// TestLoad loads the files of each archive and compares documents, foreign
// documents and diagnostics with its file "want". The archive's comment may
// hold lines "namespace NAME", "set VAR=value" and "values", which also prints
// each document.
func TestLoad(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives in testdata", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			opt, values := options(string(ar.Comment))
			n := len(ar.Files)
			if n == 0 || ar.Files[n-1].Name != "want" {
				t.Fatal(`the last file must be "want"`)
			}
			want := string(ar.Files[n-1].Data)
			fsys, err := txtar.FS(&txtar.Archive{Files: ar.Files[:n-1]})
			if err != nil {
				t.Fatal(err)
			}
			got := render(fsys, opt, values)
			if *update {
				ar.Files[n-1].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("run with -update after a change on purpose (-want +got):\n%s", diff)
			}
			previous, _ := load.Load(fsys, opt)
			opt.Previous = previous
			if diff := cmp.Diff(got, render(fsys, opt, values)); diff != "" {
				t.Errorf("with Options.Previous (-without +with):\n%s", diff)
			}
		})
	}
}

func options(comment string) (opt load.Options, values bool) {
	opt = load.Options{Groups: testGroups, Modules: schemas.CUE(), Set: map[string]string{}}
	for line := range strings.Lines(comment) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "namespace":
			opt.DefaultNamespace = rest
		case "set":
			name, value, _ := strings.Cut(rest, "=")
			opt.Set[name] = value
		case "values":
			values = true
		}
	}
	return opt, values
}

// testGroups is a small dialect table.
func testGroups(group, kind string) load.Reading {
	switch {
	case group == "mesh-compile.dev":
		return load.Reading{Read: true, Strict: true, Cluster: kind == "Mesh"}
	case group == "networking.istio.io":
		return load.Reading{Read: true, Strict: true}
	case group == "" && (kind == "Service" || kind == "Namespace"):
		return load.Reading{Read: true, Cluster: kind == "Namespace"}
	}
	return load.Reading{}
}
