package objects_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

func parse(t *testing.T, file string, into func() any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range strings.Split(string(text), "\n---\n") {
		if err := yaml.Unmarshal([]byte(doc), into()); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
}

// TestRoles: the roles that watch what is in the cluster may read every native kind. With
// one that they may not read they are never ready.
func TestRoles(t *testing.T) {
	var want []string
	crds, err := filepath.Glob("../../schemas/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range crds {
		var crd apiextensionsv1.CustomResourceDefinition
		parse(t, file, func() any { return &crd })
		if k, ok := objects.KindOf(v1alpha1.Group, crd.Spec.Names.Kind); ok && k.Translated {
			want = append(want, crd.Spec.Names.Plural)
		}
	}
	if len(want) < 12 {
		t.Fatalf("native kinds are %v", want)
	}
	for _, role := range []string{"admit", "reconcile"} {
		var documents []*rbacv1.ClusterRole
		parse(t, "../../deploy/base/"+role+".yaml", func() any {
			documents = append(documents, &rbacv1.ClusterRole{})
			return documents[len(documents)-1]
		})
		for _, plural := range want {
			may := func(d *rbacv1.ClusterRole) bool {
				return d.Kind == "ClusterRole" && slices.ContainsFunc(d.Rules, func(r rbacv1.PolicyRule) bool {
					return slices.Contains(r.APIGroups, v1alpha1.Group) && slices.Contains(r.Resources, plural) && slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch")
				})
			}
			if !slices.ContainsFunc(documents, may) {
				t.Errorf("deploy/base/%s.yaml: the role may not list and watch %s", role, plural)
			}
		}
	}
}
