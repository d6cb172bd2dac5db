package analyze_test

import (
	"os"
	"testing"
	"testing/fstest"
	"time"

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

func TestWaive(t *testing.T) {
	t.Parallel()
	found, _ := analyze.Run(compile(t, nil, ""), passes.All(), analyze.Options{})
	first := found[0].Fingerprint()
	m := compile(t, nil, `
apiVersion: mesh-compile.dev/v1alpha1
kind: Waiver
metadata: {name: known, namespace: shop}
spec: {fingerprint: "`+first+`", reason: known, owner: team, expires: "2027-01-01T00:00:00Z"}
`)
	for _, test := range []struct {
		asOf     time.Time
		severity diag.Severity
		want     bool
	}{
		{time.Time{}, diag.Error, true},
		{time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC), diag.Error, true},
		{time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), diag.Error, false},
		{time.Time{}, diag.Critical, false},
	} {
		list, _ := analyze.Run(m, passes.All(), analyze.Options{})
		list[0].Severity = test.severity
		analyze.Waive(m, list, test.asOf)
		if list[0].Waived != test.want {
			t.Errorf("as of %v, %s: waived %v, want %v", test.asOf, test.severity, list[0].Waived, test.want)
		}
		for _, d := range list[1:] {
			if d.Waived {
				t.Errorf("waived another finding: %s", d.Message)
			}
		}
	}
}
