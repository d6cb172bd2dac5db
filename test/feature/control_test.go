package feature_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/policytest"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// changed compiles a feature with a part of one file replaced.
func changed(t *testing.T, name, file, old, new string) *check.Mesh {
	t.Helper()
	dir := filepath.Join(features, name)
	files := fstest.MapFS{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() == file {
			if !strings.Contains(string(data), old) {
				t.Fatalf("%s/%s has no %q", dir, file, old)
			}
			data = []byte(strings.Replace(string(data), old, new, 1))
		}
		files[e.Name()] = &fstest.MapFile{Data: data}
	}
	r, diags := compiler.Compile(files, compiler.Options{})
	if diags.HasErrors() {
		t.Fatalf("%s with %q: %+v", name, new, diags)
	}
	return r.Mesh
}

// TestDifferencesAreSeen runs Envoys of another policy than the evaluator is
// asked about: the runner must see that.
func TestDifferencesAreSeen(t *testing.T) {
	envoytest.Require(t)
	for _, c := range []struct{ name, file, old, new, difference string }{
		{"path", "route.yaml", "{prefix: /search}", "{prefix: /find}", "route"},
		{"split", "route.yaml", "[{version: v1, weight: 90}, {version: v2, weight: 10}]", "[{version: v1, weight: 85}, {version: v2, weight: 15}]", "shares"},
		{"redirect", "route.yaml", "{prefix: /new}", "{prefix: /newer}", "location"},
		{"rewrite", "route.yaml", "{prefix: /v1}", "{prefix: /v2}", "path at the destination"},
		{"mirror", "route.yaml", "percent: 100", "percent: 90", "copies to shop/catalog v2"},
		{"headers", "route.yaml", `x-set: "100% new"`, `x-set: "101% new"`, "header x-set"},
		{"headers", "route.yaml", "remove: [x-remove]", "remove: [x-other]", "header X-Remove at the destination: the evaluator"},
		{"timeout", "route.yaml", "timeout: 200ms", "timeout: 2s", "timeout"},
		{"retry", "route.yaml", "attempts: 2, statuses: [503]", "attempts: 1, statuses: [503]", "tries"},
		{"fault", "route.yaml", "percent: 25", "percent: 30", "aborted"},
		{"fault", "route.yaml", "duration: 300ms", "duration: 100ms", "delay"},
		{"access", "policy.yaml", "methods: [POST]", "methods: [PUT]", "access"},
		{"access", "policy.yaml", "name: no-dump", "name: no-dumps", "rule that denies"},
		{"normalize", "policy.yaml", "{prefix: /admin}", "{exact: /admin}", "access"},
		{"scope", "mesh.yaml", ", uses: [{service: payment}]", ", uses: [{service: payment}, {service: catalog}]", "status"},
	} {
		t.Run(c.name+" "+c.new, func(t *testing.T) {
			t.Parallel()
			results := policytest.Run(compile(t, filepath.Join(features, c.name)))
			running := start(t, "", changed(t, c.name, c.file, c.old, c.new), results)
			outcomes, err := running.RunPolicyTests(t.Context(), results)
			if err != nil {
				t.Fatal(err)
			}
			var seen []string
			for _, o := range outcomes {
				seen = append(seen, o.Differences...)
			}
			if !strings.Contains(strings.ToLower(strings.Join(seen, "\n")), strings.ToLower(c.difference)) {
				t.Errorf("no difference about %q is seen: %q", c.difference, seen)
			}
		})
	}
}

// TestBundleDifferencesAreSeen asks the bundles of another policy.
func TestBundleDifferencesAreSeen(t *testing.T) {
	results := policytest.Run(compile(t, filepath.Join(features, "access")))
	for _, c := range []struct{ old, new string }{
		{"methods: [POST]", "methods: [PUT]"}, {"name: no-admin", "name: no-entry"}, {"ports: [9090]}\n    except", "ports: [8080]}\n    except"},
	} {
		m, differences := changed(t, "access", "policy.yaml", c.old, c.new), 0
		for i := range results {
			seen, err := meshtest.AskBundle(t.Context(), m, results[i].Result)
			if err != nil {
				t.Fatal(err)
			}
			differences += len(seen)
		}
		if differences == 0 {
			t.Errorf("with %q, no difference is seen", c.new)
		}
	}
}

func TestChiSquareSeesFivePoints(t *testing.T) {
	for _, c := range []struct {
		counts   []int
		percents []float64
		fits     bool
	}{
		{[]int{4500, 500}, []float64{90, 10}, true},
		{[]int{4440, 560}, []float64{90, 10}, true},
		{[]int{4250, 750}, []float64{90, 10}, false},
		{[]int{4750, 250}, []float64{90, 10}, false},
		{[]int{2570, 2430}, []float64{50, 50}, true},
		{[]int{2750, 2250}, []float64{50, 50}, false},
		{[]int{1700, 1650, 1650}, []float64{33.34, 33.33, 33.33}, true},
		{[]int{1917, 1417, 1666}, []float64{33.34, 33.33, 33.33}, false},
		{[]int{4999, 1}, []float64{100, 0}, false},
		{[]int{5000, 0}, []float64{100, 0}, true},
		{[]int{0, 0}, []float64{50, 50}, false},
	} {
		if err := meshtest.ChiSquare(c.counts, c.percents); (err == nil) != c.fits {
			t.Errorf("%v as %v percent: %v", c.counts, c.percents, err)
		}
	}
}
