package authz

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

var update = flag.Bool("update", false, "rewrite the golden parts of the fixtures")

// TestGolden compares the RBAC of each port and the Rego of each workload with
// what the fixture says of its policy.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			golden(t, file)
		})
	}
}

func golden(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	policy, want := archive.Files[:1], archive.Files[1:]
	got := generated(t, checked(t, policy[0]))
	if *update {
		archive.Files = append(policy, got...)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	render := func(files []txtar.File) string { return string(txtar.Format(&txtar.Archive{Files: files})) }
	if diff := cmp.Diff(render(want), render(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func checked(t *testing.T, policy txtar.File) *check.Mesh {
	t.Helper()
	files := fstest.MapFS{policy.Name: &fstest.MapFile{Data: policy.Data}}
	loaded, diags := load.Load(files, load.Options{Groups: dialect.Reading})
	var fragments []*mesh.Fragment
	for _, doc := range loaded.Documents {
		f, found := dialect.Translate(doc)
		fragments, diags = append(fragments, f), append(diags, found...)
	}
	m, found := check.Run(fragments, check.Options{})
	if diags = append(diags, found...); diags.HasErrors() {
		t.Fatalf("the fixture is wrong: %v", diags)
	}
	return m
}

func generated(t *testing.T, m *check.Mesh) []txtar.File {
	t.Helper()
	var out []txtar.File
	for _, w := range m.Workloads() {
		for _, in := range w.Inbound {
			r, err := ForInbound(m.Settings(), in)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, txtar.File{
				Name: fmt.Sprintf("%s/%d.json", w.Key(), in.Port),
				Data: filters(t, r),
			})
		}
		written, err := Bundle(m, w)
		if err != nil {
			t.Fatal(err)
		}
		prepare(t, written)
		b, err := bundle.NewReader(bytes.NewReader(written)).Read()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, txtar.File{Name: w.Key() + "/rules.rego", Data: []byte(rulesOf(&b))})
	}
	return out
}

// filters renders what Envoy accepts by its own constraints.
func filters(t *testing.T, r RBAC) []byte {
	t.Helper()
	all := map[string]json.RawMessage{}
	for name, f := range map[string]*rbacconfigv3.RBAC{"deny": r.Deny, "allow": r.Allow, "audit": r.Audit} {
		if f == nil {
			continue
		}
		if err := f.ValidateAll(); err != nil {
			t.Errorf("envoy's constraints: %v", err)
		}
		text, err := protojson.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = text
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}
