package admission_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

const workload = `
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: catalog-v1, namespace: shop}
spec: {service: catalog, version: v1, ports: [{port: 8080, protocol: http}]}
`

// route has one rule to a destination.
func route(to string) string {
	return `
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: catalog, namespace: shop}
spec:
  service: catalog
  rules:
  - name: all
    to: ` + to
}

// TestReview judges one object over a base of others.
func TestReview(t *testing.T) {
	for _, test := range []struct {
		name, operation, object string
		base                    []string
		allowed                 bool
		says                    string // in the message or in a warning
	}{
		{"good", admission.Create, route("[{service: catalog}]"), []string{workload}, true, ""},
		{"curable", admission.Create, route("[{service: catalogue}]"), []string{workload}, true, "MeshRoute shop/catalog: spec.rules[0].to[0].service: "},
		{"wrong", admission.Create, route("[{service: catalog, weight: 900}]"), []string{workload}, false, "MeshRoute shop/catalog: spec.rules[0].to"},
		{"wrong before", admission.Create, workload, []string{route("[{service: catalog, weight: 900}]")}, true, ""},
		{"mended", admission.Update, route("[{service: catalog}]"), []string{workload, route("[{service: catalog, weight: 900}]")}, true, ""},
		{"delete", admission.Delete, workload, []string{workload, route("[{service: catalog}]")}, true, "[unknowndestination]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := objects.NewSet()
			for _, text := range test.base {
				base = with(t, base, object(t, text))
			}
			r := admission.New(admission.Options{Base: func() *objects.Set { return base }})
			v, err := r.Review(t.Context(), request(t, test.operation, test.object))
			if err != nil {
				t.Fatal(err)
			}
			said := v.Message + "\n" + strings.Join(v.Warnings, "\n")
			if v.Allowed != test.allowed || !strings.Contains(said, test.says) {
				t.Errorf("allowed %t, want %t; want %q in\n%s", v.Allowed, test.allowed, test.says, said)
			}
			if !v.Allowed && !strings.Contains(v.Message, "mesh-compile explain ") {
				t.Errorf("no way to read on in\n%s", v.Message)
			}
		})
	}
}

// TestRemembered: what was admitted counts before the informers show it, and what
// was tried in dry run does not.
func TestRemembered(t *testing.T) {
	for _, dryRun := range []bool{true, false} {
		base := objects.NewSet()
		r := admission.New(admission.Options{Base: func() *objects.Set { return base }})
		first := request(t, admission.Create, workload)
		first.DryRun = dryRun
		if _, err := r.Review(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		v, err := r.Review(t.Context(), request(t, admission.Create, route("[{service: catalog}]")))
		if err != nil {
			t.Fatal(err)
		}
		if unknown := strings.Contains(strings.Join(v.Warnings, "\n"), "[unknowndestination]"); unknown != dryRun {
			t.Errorf("dry run %t: warnings %q", dryRun, v.Warnings)
		}
	}
}

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func with(t testing.TB, set *objects.Set, u *unstructured.Unstructured) *objects.Set {
	t.Helper()
	data, err := objects.Render(u)
	if err != nil {
		t.Fatal(err)
	}
	return set.With(objects.PathOf(u), data)
}

func request(t testing.TB, operation, text string) admission.Request {
	t.Helper()
	u := object(t, text)
	gvk := u.GroupVersionKind()
	req := admission.Request{
		Operation: operation, Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind,
		Namespace: u.GetNamespace(), Name: u.GetName(), Object: u,
	}
	if operation == admission.Delete {
		req.Object, req.Old = nil, u
	}
	return req
}
