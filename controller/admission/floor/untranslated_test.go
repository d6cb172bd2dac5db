package floor_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/controller/admission/floor"
)

// TestUntranslated: the floor has every kind of Istio's that the compiler reads and has
// no translator for, and each in all versions that its CRD serves.
func TestUntranslated(t *testing.T) {
	have := map[string]floor.Kind{}
	for _, p := range floor.Policies() {
		for _, k := range p.Kinds {
			have[k.Group+" "+k.Kind] = k
		}
	}
	seen := 0
	for _, crd := range istioCRDs(t) {
		group, kind := crd.Spec.Group, crd.Spec.Names.Kind
		if k, read := dialect.KindOf(group, kind); !read || k.Translated {
			continue
		}
		seen++
		k := have[group+" "+kind]
		var served []string
		for _, v := range crd.Spec.Versions {
			if v.Served {
				served = append(served, v.Name)
			}
		}
		slices.Sort(served)
		if k.Resource != crd.Spec.Names.Plural || !slices.Equal(k.Versions, served) {
			t.Errorf("%s %s is %s in %q, and the floor has %+v", group, kind, crd.Spec.Names.Plural, served, k)
		}
		delete(have, group+" "+kind)
	}
	for name, k := range have {
		if known, _ := dialect.KindOf(k.Group, k.Kind); !known.Translated {
			t.Errorf("the floor has %s, and no CRD", name)
		}
	}
	if seen == 0 {
		t.Error("Istio has no kinds")
	}
}

// istioCRDs are those of the module whose types the compiler reads them with.
func istioCRDs(t *testing.T) []apiextensions.CustomResourceDefinition {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var out []apiextensions.CustomResourceDefinition
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var crd apiextensions.CustomResourceDefinition
		err := decoder.Decode(&crd)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, crd)
	}
}
