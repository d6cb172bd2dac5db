package xds_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

var update = flag.Bool("update", false, "write the golden files")

// A fixture is policy and, in its comment, lines "show WORKLOAD RESOURCE": the
// resources that stand in want.json. Envoy validates every workload's slice.
func TestSlices(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/slice/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := checked(t, archive)
			slices := buildAll(t, m)
			compareGolden(t, file, archive, slices)
			validateAll(t, slices)
		})
	}
}

func buildAll(t *testing.T, m *check.Mesh) map[string]xds.Slice {
	t.Helper()
	g := xds.NewGenerator(m, nil)
	out := map[string]xds.Slice{}
	for _, w := range m.Workloads() {
		slice, err := g.Build(w, access)
		if err != nil {
			t.Fatal(err)
		}
		out[w.Key()] = slice
	}
	return out
}

func compareGolden(t *testing.T, file string, archive *txtar.Archive, slices map[string]xds.Slice) {
	t.Helper()
	var got bytes.Buffer
	for line := range strings.Lines(string(archive.Comment)) {
		var workload, name string
		if n, _ := fmt.Sscanf(line, "show %s %s", &workload, &name); n == 2 {
			show(t, &got, slices[workload], workload, name)
		}
	}
	last := &archive.Files[len(archive.Files)-1]
	if last.Name != "want.json" {
		t.Fatal("the last file of the fixture is not want.json")
	}
	if *update {
		last.Data = got.Bytes()
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(last.Data), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func show(t *testing.T, out *bytes.Buffer, slice xds.Slice, workload, name string) {
	t.Helper()
	shown := false
	for _, r := range slice.Resources() {
		kind := r.Type[strings.LastIndex(r.Type, ".")+1:]
		if kind+"/"+r.Name != name {
			continue
		}
		text, err := xds.JSON(decode(t, r))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(out, "// %s %s\n%s", workload, name, text)
		shown = true
	}
	if !shown {
		t.Errorf("workload %s has no %s", workload, name)
	}
}

func decode(t testing.TB, r xds.Resource) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByURL(r.Type)
	if err != nil {
		t.Fatal(err)
	}
	m := kind.New().Interface()
	if err := proto.Unmarshal(r.Bytes, m); err != nil {
		t.Fatal(err)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, r.Bytes) {
		t.Errorf("%s: the bytes put together differ from the message's own", r.Name)
	}
	return m
}

// validateAll asks Envoy about every workload's slice, with what the agent would
// answer standing inline.
func validateAll(t *testing.T, slices map[string]xds.Slice) {
	t.Helper()
	envoytest.Require(t)
	for workload, slice := range slices {
		if err := envoytest.Validate(t.Context(), static(t, slice, xds.StaticOptions{})); err != nil {
			t.Errorf("%s: %v", workload, err)
		}
	}
}

// static makes the bootstrap; certificates are the test's own unless given.
func static(t testing.TB, slice xds.Slice, o xds.StaticOptions) []byte {
	t.Helper()
	if o.Certificate == nil {
		ca := newAuthority(t)
		o.Certificate, o.Key = ca.issue(t, "spiffe://shop.example/ns/shop/sa/any")
		o.Roots = ca.roots()
	}
	if o.Node == "" {
		o.Node = "test"
	}
	if o.AgentPath == "" {
		o.AgentPath = "/nonexistent/agent.sock"
	}
	b, err := xds.StaticBootstrap(slice, o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := xds.JSON(b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
