package feature_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

const analyzers = "../../compiler/analyze/passes"

// TestWitnesses sends the witness of every finding of every analyzer's fixtures
// through both proxies: what the finding claims must be seen. A witness that does
// not say what it shows is a bug.
func TestWitnesses(t *testing.T) {
	envoytest.Require(t)
	for _, a := range passes.All() {
		for _, dir := range directories(t, filepath.Join(analyzers, string(a.Name), "testdata")) {
			t.Run(string(a.Name)+"/"+filepath.Base(dir), func(t *testing.T) {
				t.Parallel()
				witnesses(t, dir, a.Name)
			})
		}
	}
}

func witnesses(t *testing.T, dir string, code diag.Code) {
	r, diags := compiler.Compile(fixture(t, dir), compiler.Options{LintOnly: true, AsOf: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)})
	var found []*diag.Diagnostic
	var asked []*reach.Result
	for i := range diags {
		if d := &diags[i]; d.Code == code && d.Witness != nil {
			if d.Witness.Expect == nil {
				t.Errorf("%s: %s: the witness does not say what it shows", d.Span, d.Message)
				continue
			}
			want, err := meshtest.Evaluate(r.Mesh, d.Witness)
			if err != nil {
				t.Fatal(err)
			}
			found, asked = append(found, d), append(asked, want)
		}
	}
	if len(found) == 0 {
		t.Skip("none of its findings is about requests")
	}
	running, err := meshtest.Start(t.Context(), r.Mesh, meshtest.TakingPart(asked...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Close)
	for _, d := range found {
		differences, err := running.Show(t.Context(), d.Witness)
		if err != nil {
			t.Fatal(err)
		}
		for _, difference := range differences {
			t.Errorf("%s: %s\n\twitness: %s\n\t%s", d.Span, d.Message, d.Witness, difference)
		}
	}
}

// fixture is an analyzer's fixture on the background that all of them share.
func fixture(t *testing.T, dir string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	add := func(path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = &fstest.MapFile{Data: data}
	}
	add(filepath.Join(analyzers, "testdata", "shop.yaml"))
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		add(path)
	}
	return out
}
