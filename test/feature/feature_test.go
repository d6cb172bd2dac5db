// Package feature proves that what the compiler emits means what the evaluator
// says: each folder of testdata/feature is a policy repository whose PolicyTests
// are asked of the evaluator and of real Envoys, which must agree with each other
// and with what the cases expect.
package feature_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/policytest"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

const features = "../../testdata/feature"

func TestFeatures(t *testing.T) {
	envoytest.Require(t)
	for _, dir := range directories(t, features) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			feature(t, dir)
		})
	}
}

func feature(t *testing.T, dir string) {
	m := compile(t, dir)
	results := policytest.Run(m)
	if len(results) == 0 {
		t.Fatalf("%s has no PolicyTest", dir)
	}
	running := start(t, m, results)
	outcomes, err := running.RunPolicyTests(t.Context(), results)
	if err != nil {
		t.Fatal(err)
	}
	for i := range outcomes {
		o := &outcomes[i]
		for _, f := range o.Failures {
			t.Errorf("%s: %q: %s", o.Case.Span, o.Case.Name, f)
		}
		for _, d := range o.Differences {
			t.Errorf("%s: %q: %s\n\tEnvoy: %s", o.Case.Span, o.Case.Name, d, &o.Observation)
		}
	}
	if show := shown[filepath.Base(dir)]; show != nil {
		show(t, m, running)
	}
}

// start runs everything that the cases are about.
func start(t *testing.T, m *check.Mesh, results []policytest.Result) *meshtest.Mesh {
	t.Helper()
	var asked []*reach.Result
	for i := range results {
		if results[i].Result != nil {
			asked = append(asked, results[i].Result)
		}
	}
	running, err := meshtest.Start(t.Context(), m, meshtest.TakingPart(asked...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Close)
	return running
}

func compile(t *testing.T, dir string) *check.Mesh {
	t.Helper()
	r, diags := compiler.Compile(os.DirFS(dir), compiler.Options{})
	for i := range diags {
		t.Logf("%s: %s [%s]", diags[i].Span, diags[i].Message, diags[i].Code)
	}
	if diags.HasErrors() {
		t.Fatalf("%s does not compile", dir)
	}
	return r.Mesh
}

func directories(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, filepath.Join(root, e.Name()))
		}
	}
	return out
}
