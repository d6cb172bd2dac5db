package parity

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/objects"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

func all(t *testing.T) []Case {
	t.Helper()
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cases, err := Cases(root)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestReviews: a review of the one object gives the codes of lint, and refuses where an
// error is not curable.
func TestReviews(t *testing.T) {
	codes := map[string]bool{}
	for _, c := range all(t) {
		t.Run(c.Name, func(t *testing.T) {
			v := review(t, c)
			if diff := cmp.Diff(Codes(c.Found), reviewed(v)); diff != "" {
				t.Errorf("codes (-lint +review):\n%s", diff)
			}
			if v.Allowed == c.Refused() {
				t.Errorf("allowed %t: %s", v.Allowed, v.Message)
			}
		})
		for _, code := range Codes(c.Found) {
			codes[strings.TrimSuffix(code, "?")] = true
		}
	}
	if len(codes) < 15 {
		t.Errorf("only %d codes have a fixture that is one object over a mesh: %v", len(codes), codes)
	}
}

func review(t *testing.T, c Case) admission.Verdict {
	t.Helper()
	base := objects.NewSet()
	for _, d := range c.Mesh {
		data, err := objects.Render(d.Object)
		if err != nil {
			t.Fatal(err)
		}
		base = base.With(objects.PathOf(d.Object), data)
	}
	r := admission.New(admission.Options{Base: func() *objects.Set { return base }})
	gvk := c.Object.Object.GroupVersionKind()
	v, err := r.Review(t.Context(), admission.Request{
		Operation: admission.Create, Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind,
		Namespace: c.Object.Object.GetNamespace(), Name: c.Object.Object.GetName(), Object: c.Object.Object,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reviewed is Codes of a verdict.
func reviewed(v admission.Verdict) []string {
	out := []string{}
	for _, f := range v.Findings {
		if f.Severity == diag.Error.String() || f.Severity == diag.Critical.String() {
			out = append(out, f.Code)
		} else {
			out = append(out, f.Code+"?")
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
