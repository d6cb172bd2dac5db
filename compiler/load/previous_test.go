package load_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
	"github.com/mesh-compile/mesh-compile/schemas"
)

func route(name string) string {
	return "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: " + name + "}\n"
}

func cuePackage(pkg, name string) string {
	return "package " + pkg + "\n\nimport mc \"mesh-compile.dev/v1alpha1\"\n\nx: mc.#MeshRoute & {metadata: name: \"" + name + "\", spec: service: \"a\"}\n"
}

// TestPrevious changes one thing at a time: what depends on it is read again and
// everything else is the very same document.
func TestPrevious(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(fstest.MapFS, *load.Options)
		fresh  string // names of the documents that are new
	}{
		{"nothing", func(fstest.MapFS, *load.Options) {}, ""},
		{"a file", func(m fstest.MapFS, _ *load.Options) { m["b.yaml"] = text(route("b") + "spec: {}\n") }, "b"},
		{"a new file", func(m fstest.MapFS, _ *load.Options) { m["n.yaml"] = text(route("n")) }, "n"},
		{"a file less", func(m fstest.MapFS, _ *load.Options) { delete(m, "b.yaml") }, ""},
		{"a kustomization", func(m fstest.MapFS, _ *load.Options) {
			m["kustomization.yaml"] = text("namespace: other\nresources: [a.yaml]\n")
		}, "a"},
		{"a package", func(m fstest.MapFS, _ *load.Options) { m["p/p.cue"] = text(cuePackage("p", "p2")) }, "p2"},
		{"a library", func(m fstest.MapFS, _ *load.Options) {
			m["lib/lib.cue"] = text("package lib\n\nname: \"q2\"\n")
		}, "q2"},
		{"a placeholder", func(_ fstest.MapFS, o *load.Options) { o.Set = map[string]string{"X": "y"} }, "a b p q"},
		{"the namespace", func(_ fstest.MapFS, o *load.Options) { o.DefaultNamespace = "x" }, "a b p q"},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := fstest.MapFS{
				"a.yaml": text(route("a")), "b.yaml": text(route("b")),
				"kustomization.yaml": text("namespace: shop\nresources: [a.yaml]\n"),
				"cue.mod/module.cue": text("module: \"example.com/m\"\nlanguage: version: \"v0.17.0\"\n"),
				"lib/lib.cue":        text("package lib\n\nname: \"q\"\n"),
				"p/p.cue":            text(cuePackage("p", "p")),
				"q/q.cue":            text("package q\n\nimport \"example.com/m/lib\"\n\nx: {apiVersion: \"mesh-compile.dev/v1alpha1\", kind: \"MeshRoute\", metadata: name: lib.name}\n"),
			}
			opt := load.Options{Modules: schemas.CUE()}
			before, diags := load.Load(repo, opt)
			if len(diags) > 0 || len(before.Documents) != 4 {
				t.Fatal(len(before.Documents), diags)
			}
			old := map[*load.Document]bool{}
			for _, d := range before.Documents {
				old[d] = true
			}
			test.change(repo, &opt)
			cold, coldDiags := load.Load(repo, opt)
			opt.Previous = before
			after, afterDiags := load.Load(repo, opt)
			var fresh []string
			for _, d := range after.Documents {
				if !old[d] {
					fresh = append(fresh, d.Name)
				}
			}
			if got := strings.Join(fresh, " "); got != test.fresh {
				t.Errorf("read again: %q, want %q", got, test.fresh)
			}
			if diff := cmp.Diff(cold.Documents, after.Documents); diff != "" {
				t.Errorf("with Previous (-without +with): %s", diff)
			}
			if diff := cmp.Diff(coldDiags, afterDiags); diff != "" {
				t.Errorf("diagnostics with Previous (-without +with): %s", diff)
			}
		})
	}
}

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

// TestDeterministic loads the same files on one and on several processors.
func TestDeterministic(t *testing.T) {
	repo := fstest.MapFS{}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		var b strings.Builder
		for range random.IntN(5) {
			b.WriteString("---\n" + route(fmt.Sprintf("r%d", random.IntN(20))) + "spec: {a: on, b: ${X}}\n")
		}
		repo[fmt.Sprintf("d%d/%d.yaml", i%7, i)] = text(b.String())
		repo[fmt.Sprintf("c%d/c.cue", i%10)] = text(cuePackage("c", fmt.Sprintf("c%d", i%5)))
	}
	opt := load.Options{Modules: schemas.CUE()}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	one, oneDiags := load.Load(repo, opt)
	runtime.GOMAXPROCS(8)
	for range 5 {
		many, manyDiags := load.Load(repo, opt)
		if diff := cmp.Diff(one.Documents, many.Documents); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(oneDiags, manyDiags); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestLimits(t *testing.T) {
	big := fstest.MapFS{"a.yaml": text(route("a")), "b.yaml": text(route("b") + strings.Repeat("# comment\n", 100)), "c.cue": text(cuePackage("c", "c"))}
	for _, test := range []struct {
		name   string
		limits load.Limits
		at     string
		docs   int
	}{
		{"files", load.Limits{Files: 2}, "c.cue", 2},
		{"file", load.Limits{FileBytes: 500}, "b.yaml", 2},
		{"total", load.Limits{TotalBytes: 1000}, "b.yaml", 1},
		{"cue", load.Limits{CUEBytes: 10}, "c.cue", 2},
		{"nodes", load.Limits{Nodes: 4}, "a.yaml b.yaml c.cue", 0},
		{"depth", load.Limits{Depth: 1}, "a.yaml b.yaml c.cue", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, diags := load.Load(big, load.Options{Limits: test.limits, Modules: schemas.CUE()})
			var at []string
			for _, d := range diags {
				if d.Code != load.CodeLimit || d.Severity != diag.Error {
					t.Errorf("%s: %s [%s]", d.Span, d.Message, d.Code)
				}
				at = append(at, d.Span.File)
			}
			if got := strings.Join(at, " "); got != test.at || len(res.Documents) != test.docs {
				t.Errorf("%d documents, limits at %q; want %d, %q", len(res.Documents), got, test.docs, test.at)
			}
		})
	}
}

// TestApplyFix applies the edits of a fix: what they say must hold.
func TestApplyFix(t *testing.T) {
	body := route("a") + route("b")
	_, diags := load.Load(fstest.MapFS{"a.yaml": text(body)}, load.Options{})
	if len(diags) != 1 || diags[0].Fix == nil || len(diags[0].Fix.Edits) != 1 {
		t.Fatalf("want one finding with one edit, got %+v", diags)
	}
	e := diags[0].Fix.Edits[0]
	if e.Span != source.At("a.yaml", 4, 1) {
		t.Errorf("edit at %v", e.Span)
	}
	lines := strings.SplitAfter(body, "\n")
	fixed := strings.Join(lines[:3], "") + e.New + strings.Join(lines[3:], "")
	res, diags := load.Load(fstest.MapFS{"a.yaml": text(fixed)}, load.Options{})
	if len(diags) > 0 || len(res.Documents) != 2 {
		t.Errorf("after the fix: %d documents, %v", len(res.Documents), diags)
	}
}
