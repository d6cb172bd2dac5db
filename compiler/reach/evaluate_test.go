package reach_test

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

var update = flag.Bool("update", false, "rewrite the answers of the fixtures")

// TestFixtures puts the "requests" of each archive (FROM METHOD TO PATH, then
// name=value headers) to the evaluator and compares with "answers"; where there
// is a "json", with the document of the last request, too.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			fixture(t, file)
		})
	}
}

func fixture(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	input, requests := fstest.MapFS{}, ""
	for _, f := range archive.Files {
		switch f.Name {
		case "requests":
			requests = string(f.Data)
		case "answers", "json":
		default:
			input[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	got := answers(t, reach.New(compile(t, input)), requests)
	for i := range archive.Files {
		f := &archive.Files[i]
		text, ok := got[f.Name]
		if !ok {
			continue
		}
		if diff := cmp.Diff(string(f.Data), text); diff != "" && !*update {
			t.Errorf("%s (-want +got, rewrite with -update):\n%s", f.Name, diff)
		}
		f.Data = []byte(text)
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func answers(t *testing.T, e *reach.Evaluator, requests string) map[string]string {
	t.Helper()
	var text strings.Builder
	var document []byte
	for line := range strings.Lines(requests) {
		r := request(strings.Fields(line))
		got, err := e.Evaluate(r)
		if err != nil {
			text.WriteString("error: " + err.Error() + "\n")
			continue
		}
		text.WriteString(reach.Text(&got, ""))
		if document, err = json.MarshalIndent(reach.Explain(&got, ""), "", "  "); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{"answers": text.String(), "json": string(document) + "\n"}
}

func request(fields []string) reach.Request {
	r := reach.Request{From: fields[0], Method: fields[1], To: fields[2], Path: fields[3], Headers: map[string][]string{}}
	for _, header := range fields[4:] {
		name, value, _ := strings.Cut(header, "=")
		r.Headers[name] = append(r.Headers[name], value)
	}
	return r
}

func compile(t testing.TB, input fs.FS) *check.Mesh {
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
