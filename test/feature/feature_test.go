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
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
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

// TestRepositories asks the PolicyTests of whole policy repositories.
func TestRepositories(t *testing.T) {
	envoytest.Require(t)
	for _, dir := range directories(t, repositories) {
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
	running := start(t, "", m, results)
	demand(t, running, results)
	if show := shown[filepath.Base(dir)]; show != nil {
		show(t, m, running)
	}
}

// TestAccessByOPA asks the same where OPA decides who may: by the agent beside
// each proxy, and by the bundle alone, which the proxy's own denials leave out.
func TestAccessByOPA(t *testing.T) {
	envoytest.Require(t)
	for _, name := range []string{"access", "istio-access", "linkerd-access", "mtls", "normalize", "tcp"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := compile(t, filepath.Join(features, name))
			results := policytest.Run(m)
			demand(t, start(t, mesh.EngineOPA, m, results), results)
			for i := range results {
				r := &results[i]
				differences, err := meshtest.AskBundle(t.Context(), m, r.Result)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range differences {
					t.Errorf("%s: %q: %s", r.Case.Span, r.Case.Name, d)
				}
			}
		})
	}
}

// demand asks every case, and wants expectation, evaluator and Envoy to agree.
func demand(t *testing.T, running *meshtest.Mesh, results []policytest.Result) {
	t.Helper()
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
}

// start runs everything that the cases are about; with an engine, all access is
// decided by it.
func start(t *testing.T, engine mesh.Engine, m *check.Mesh, results []policytest.Result) *meshtest.Mesh {
	t.Helper()
	var asked []*reach.Result
	for i := range results {
		if results[i].Result != nil {
			asked = append(asked, results[i].Result)
		}
	}
	running, err := meshtest.StartWith(t.Context(), engine, m, meshtest.TakingPart(asked...)...)
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
