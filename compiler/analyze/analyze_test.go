package analyze_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func compile(t *testing.T, previous *check.Mesh, extra string) *check.Mesh {
	t.Helper()
	files := fstest.MapFS{"waiver.yaml": {Data: []byte(extra)}}
	for name, path := range map[string]string{
		"shop.yaml": "passes/testdata/shop.yaml", "route.yaml": "passes/routeshadow/testdata/single/route.yaml",
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	loaded, diags := load.Load(files, load.Options{Groups: dialect.Reading})
	var fragments []*mesh.Fragment
	for _, doc := range loaded.Documents {
		f, found := dialect.Translate(doc)
		fragments, diags = append(fragments, f), append(diags, found...)
	}
	m, found := check.Run(fragments, check.Options{Previous: previous})
	if diags = append(diags, found...); diags.HasErrors() {
		t.Fatalf("the fixture is wrong: %v", diags)
	}
	return m
}

// TestPrevious: what a run took from the run before changes no finding.
func TestPrevious(t *testing.T) {
	t.Parallel()
	m := compile(t, nil, "")
	cold, cache := analyze.Run(m, passes.All(), analyze.Options{})
	if len(cold) == 0 {
		t.Fatal("no finding")
	}
	again := compile(t, m, "")
	warm, _ := analyze.Run(again, passes.All(), analyze.Options{Previous: cache})
	if diff := cmp.Diff(cold, warm); diff != "" {
		t.Errorf("(-cold +warm):\n%s", diff)
	}
}

// each points at the findings of a list.
func each(l diag.List) []*diag.Diagnostic {
	var out []*diag.Diagnostic
	for i := range l {
		out = append(out, &l[i])
	}
	return out
}

func waiver(fingerprint, namespace string) string {
	return `
apiVersion: mesh-compile.dev/v1alpha1
kind: Waiver
metadata: {name: known, namespace: ` + namespace + `}
spec: {fingerprint: "` + fingerprint + `", reason: known, owner: team, expires: "2027-01-01T00:00:00Z"}
`
}

func TestWaive(t *testing.T) {
	t.Parallel()
	found, _ := analyze.Run(compile(t, nil, ""), passes.All(), analyze.Options{})
	first := found[0].Fingerprint()
	m := compile(t, nil, waiver(first, "shop"))
	for _, test := range []struct {
		lapsed   bool
		severity diag.Severity
		want     bool
	}{
		{false, diag.Error, true},
		{true, diag.Error, false},
		{false, diag.Critical, false},
	} {
		list, _ := analyze.Run(m, passes.All(), analyze.Options{})
		list[0].Severity = test.severity
		if misplaced := analyze.Waive(m, each(list), func(*mesh.Waiver) bool { return test.lapsed }); len(misplaced) > 0 {
			t.Errorf("lapsed %t, %s: %v", test.lapsed, test.severity, misplaced)
		}
		if list[0].Waived != test.want {
			t.Errorf("lapsed %t, %s: waived %v, want %v", test.lapsed, test.severity, list[0].Waived, test.want)
		}
		for _, d := range list[1:] {
			if d.Waived {
				t.Errorf("waived another finding: %s", d.Message)
			}
		}
	}
}

// TestWaiveElsewhere: a waiver accepts what is found in its own namespace alone.
func TestWaiveElsewhere(t *testing.T) {
	t.Parallel()
	found, _ := analyze.Run(compile(t, nil, ""), passes.All(), analyze.Options{})
	ofMesh := found[0]
	ofMesh.Object = "Mesh shop"
	for name, test := range map[string]struct {
		finding   diag.Diagnostic
		namespace string
		want      string
	}{
		"another namespace": {found[0], "evil", "is of namespace shop: this waiver accepts nothing"},
		"no namespace":      {ofMesh, "shop", "is of Mesh shop, which has no namespace: no waiver accepts it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := compile(t, nil, waiver(test.finding.Fingerprint(), test.namespace))
			misplaced := analyze.Waive(m, []*diag.Diagnostic{&test.finding}, func(*mesh.Waiver) bool { return false })
			if test.finding.Waived {
				t.Error("waived")
			}
			if len(misplaced) != 1 || !strings.Contains(misplaced[0].Message, test.want) {
				t.Fatalf("want %q, got %v", test.want, misplaced)
			}
			d := misplaced[0]
			if d.Code != analyze.CodeWaiver || d.Severity != diag.Warning || d.Span.File != "waiver.yaml" || d.Fix == nil {
				t.Errorf("want a warning with a place and a fix: %+v", d)
			}
		})
	}
}
