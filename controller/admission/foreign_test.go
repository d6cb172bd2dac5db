package admission_test

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// TestForeignInvariant: one about another namespace's service is refused, and where
// it is stored all the same, it holds nothing against the service's owner.
func TestForeignInvariant(t *testing.T) {
	t.Parallel()
	for _, fixture := range []string{"invariant_foreign", "invariant_foreign_never"} {
		t.Run(fixture, func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile("../quarantine/testdata/" + fixture + ".txtar")
			if err != nil {
				t.Fatal(err)
			}
			base := objects.NewSet()
			for _, text := range documents(a, "both") {
				base = with(t, base, object(t, text))
			}
			r := admission.New(admission.Options{Base: func() *objects.Set { return base }})
			current := documents(a, "current")
			invariant, owners := current[0], current[1]
			if v, err := r.Review(t.Context(), request(t, admission.Create, invariant)); err != nil || v.Allowed {
				t.Errorf("evil's invariant is let in: %v", err)
			}
			base = with(t, base, object(t, invariant))
			if v, err := r.Review(t.Context(), request(t, admission.Create, owners)); err != nil || !v.Allowed {
				t.Errorf("the owner's policy is refused: %s %v", v.Message, err)
			}
		})
	}
}

// documents are those of a fixture's file.
func documents(a *txtar.Archive, name string) []string {
	var out []string
	for _, f := range a.Files {
		if f.Name != name {
			continue
		}
		for text := range strings.SplitSeq(string(f.Data), "---\n") {
			if strings.TrimSpace(text) != "" {
				out = append(out, text)
			}
		}
	}
	return out
}
