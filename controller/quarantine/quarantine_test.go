package quarantine

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

var update = flag.Bool("update", false, "rewrite what the fixtures want")

// A fixture has the objects that were accepted and that are current: those of "both"
// are the same. "git" is a file of another source, "before" names what was held back, "now" is the
// moment of the compilation.
func TestSettle(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, in := settled(t, section(a))
			want := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
			if *update {
				a.Files[want].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(a.Files[want].Data), got); diff != "" {
				t.Errorf("what is held back (-want +got):\n%s", diff)
			}
			again(t, in, got)
		})
	}
}

// again checks that a second run with what the first one accepted decides the same
// about what is in force.
func again(t *testing.T, in Input, first string) {
	out := Settle(in)
	if out.Refused != nil {
		return
	}
	in.Accepted, in.Before = out.InForce, map[string][]byte{}
	for _, h := range out.Held {
		in.Before[h.Path] = h.Object.Data
	}
	next := Settle(in)
	if next.Refused != nil {
		t.Fatalf("with what was accepted it is refused: %v\n%s", next.Refused, text(next.First))
	}
	if !equal(next.InForce, out.InForce) {
		t.Errorf("with what was accepted other objects are in force:\n%sbefore:\n%s", show(next, in), first)
	}
}

func equal(a, b map[string]Object) bool {
	if len(a) != len(b) {
		return false
	}
	for path, o := range a {
		if !bytes.Equal(o.Data, b[path].Data) {
			return false
		}
	}
	return true
}

func section(a *txtar.Archive) func(string) []byte {
	return func(name string) []byte {
		for _, f := range a.Files {
			if f.Name == name {
				return f.Data
			}
		}
		return nil
	}
}

const dir = "cluster"

func settled(t *testing.T, files func(string) []byte) (string, Input) {
	t.Helper()
	in := Input{
		Current: map[string]Object{}, Accepted: map[string]Object{}, Before: map[string][]byte{}, Files: objects.NewSet(),
		Refuse: func(string) bool { return false }, Dir: dir,
	}
	for _, name := range []string{"both", "accepted"} {
		read(t, files(name), "1", in.Accepted)
	}
	for _, name := range []string{"both", "current"} {
		read(t, files(name), "2", in.Current)
	}
	for path, o := range in.Current {
		in.Files = in.Files.With(path, o.Data)
		if slices.Contains(strings.Split(string(files("before")), "\n"), o.String()) {
			in.Before[path] = o.Data
		}
	}
	git := files("git")
	now, _ := time.Parse(time.RFC3339, strings.TrimSpace(string(files("now")))) // zero without it
	in.Compile = func(set *objects.Set, kept func(string) bool) *compiler.Result {
		tree := fstest.MapFS{"git/policies.yaml": {Data: git}}
		for _, path := range set.Paths() {
			data, _ := set.Get(path)
			tree[dir+"/"+path] = &fstest.MapFile{Data: data}
		}
		r, _ := compiler.Compile(fs.FS(tree), compiler.Options{LintOnly: true, AsOf: now, Kept: kept})
		return r
	}
	if accepted := onlyAccepted(in); accepted.Diagnostics.HasErrors() && !strings.Contains(string(files("git")), "kind") {
		t.Fatalf("what was accepted has errors:\n%s", text(accepted))
	}
	out := Settle(in)
	return show(out, in), in
}

func onlyAccepted(in Input) *compiler.Result {
	set := objects.NewSet()
	for path, o := range in.Accepted {
		set = set.With(path, o.Data)
	}
	return in.Compile(set, func(string) bool { return true })
}

func read(t *testing.T, data []byte, version string, to map[string]Object) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if u.Object == nil {
			continue
		}
		text, err := objects.Render(u)
		if err != nil {
			t.Fatal(err)
		}
		gvk := u.GroupVersionKind()
		to[objects.PathOf(u)] = Object{Data: text, Meta: objects.Meta{
			Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName(), ResourceVersion: version,
		}}
	}
}

func show(out Outcome, _ Input) string {
	var b strings.Builder
	if out.Refused != nil {
		fmt.Fprintf(&b, "refused: %v\n", out.Refused)
	}
	for _, h := range out.Held {
		what := "left out"
		if h.InForce != "" {
			what = "version " + h.InForce
		}
		fmt.Fprintf(&b, "%s (%s)\n\t%s\n", h.Object, what, h.Message)
	}
	return b.String()
}

func text(r *compiler.Result) string {
	var b strings.Builder
	for _, d := range r.Diagnostics {
		fmt.Fprintf(&b, "%s:%d: %s %s [%s]\n", d.Span.File, d.Span.Start.Line, d.Severity, d.Message, d.Code)
	}
	return b.String()
}
