package schemas_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// TestKustomization: what is installed is every CRD that is generated.
func TestKustomization(t *testing.T) {
	want, err := fs.Glob(schemas.CRDs(), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Resources []string }
	if err := yaml.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for _, name := range want {
		if !slices.Contains(list.Resources, "crds/"+name) {
			t.Errorf("kustomization.yaml lacks crds/%s", name)
		}
	}
	if len(list.Resources) != len(want) {
		t.Errorf("kustomization.yaml lists %d files, there are %d CRDs", len(list.Resources), len(want))
	}
}

var kind = regexp.MustCompile(`(?m)^kind: (\S+)$`)

// TestSamples: there is a sample of each kind that people write.
func TestSamples(t *testing.T) {
	have := map[string]bool{}
	err := filepath.WalkDir("../deploy/samples", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		for _, m := range kind.FindAllSubmatch(text, -1) {
			have[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range v1alpha1.Kinds() {
		if !have[k.Kind] {
			t.Errorf("no sample of kind %s in deploy/samples", k.Kind)
		}
	}
}
