package check_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

var update = flag.Bool("update", false, "rewrite the golden parts of the fixtures")

// TestFixtures checks the YAML files of each archive and compares the archive's
// "diagnostics" with the findings, and "mesh", where there is one, with the
// dump. The first line of the comment may set options.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
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
	input, out := split(archive)
	opt := check.Options{AssumeExternal: strings.Contains(string(archive.Comment), "assume-external")}
	if strings.Contains(string(archive.Comment), "as-of") {
		opt.AsOf = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	m, diags := check.Run(fragments(t, input), opt)
	for i := range out {
		var got string
		switch out[i].Name {
		case "diagnostics":
			got = text(diags)
		case "mesh":
			got = dump(t, m)
		}
		if diff := cmp.Diff(string(out[i].Data), got); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", out[i].Name, diff)
		}
		out[i].Data = []byte(got)
	}
	if *update {
		archive.Files = append(archive.Files[:len(archive.Files)-len(out)], out...)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// split tells the inputs of an archive from the outputs, which stand at its end.
func split(archive *txtar.Archive) (fstest.MapFS, []txtar.File) {
	input := fstest.MapFS{}
	var out []txtar.File
	for _, f := range archive.Files {
		if f.Name == "diagnostics" || f.Name == "mesh" {
			out = append(out, f)
			continue
		}
		input[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return input, out
}

// fragments loads and translates files without any finding.
func fragments(t testing.TB, input fstest.MapFS) []*mesh.Fragment {
	t.Helper()
	loaded, diags := load.Load(input, load.Options{Groups: dialect.Reading})
	var out []*mesh.Fragment
	for _, doc := range loaded.Documents {
		f, found := dialect.Translate(doc)
		out, diags = append(out, f), append(diags, found...)
	}
	if diags.HasErrors() {
		t.Fatalf("the fixture is wrong before it is checked:\n%s", text(diags))
	}
	return out
}

func text(diags diag.List) string {
	var b strings.Builder
	for i := range diags {
		d := &diags[i]
		b.WriteString(d.Span.String() + ": " + d.Severity.String() + ": " + d.Message + " [" + string(d.Code) + "] " + d.Object + "\n")
		for _, r := range d.Related {
			b.WriteString("\t" + r.Span.String() + ": " + r.Message + "\n")
		}
		if d.Fix != nil {
			b.WriteString("\tfix: " + d.Fix.Message + "\n")
		}
	}
	return b.String()
}

func dump(t *testing.T, m *check.Mesh) string {
	t.Helper()
	text, err := m.Dump()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", " "); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
