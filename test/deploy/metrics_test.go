package deploy

import (
	"io/fs"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/schemas"
)

// stateMetrics is what the test reads of kube-state-metrics' configuration.
type stateMetrics struct {
	Kind string
	Spec struct {
		Resources []struct {
			GroupVersionKind struct{ Group, Version, Kind string }
			Metrics          []struct {
				Name           string
				LabelsFromPath map[string][]string
			}
		}
	}
}

// TestStateMetrics: each label of gotk_resource_info comes from a field that the kind
// has.
func TestStateMetrics(t *testing.T) {
	var config stateMetrics
	if err := yaml.Unmarshal(read(t, "deploy/components/monitoring/kube-state-metrics.yaml"), &config); err != nil {
		t.Fatal(err)
	}
	labels := 0
	for _, r := range config.Spec.Resources {
		for _, metric := range r.Metrics {
			for label, fields := range metric.LabelsFromPath {
				labels++
				if fields[0] != "metadata" && !has(schemaOf(t, r.GroupVersionKind.Kind), fields) {
					t.Errorf("%s: label %s is from %s, which no %s has", metric.Name, label, strings.Join(fields, "."), r.GroupVersionKind.Kind)
				}
			}
		}
	}
	if labels < 9 {
		t.Errorf("%d labels were found", labels)
	}
	if has(schemaOf(t, "Release"), []string{"status", "conditions", "[type=Ready]", "state"}) {
		t.Error("a field that does not exist is found")
	}
}

// schemaOf is the schema of a kind's only version.
func schemaOf(t *testing.T, kind string) map[string]any {
	t.Helper()
	text, err := fs.ReadFile(schemas.CRDs(), strings.ToLower(kind)+"s.yaml")
	if err != nil {
		t.Fatal(err)
	}
	versions, _, err := unstructured.NestedSlice(decode(t, kind, text)[0].Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		t.Fatalf("%s has %d versions: %v", kind, len(versions), err)
	}
	schema, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// has reports whether a schema has a field; "[key=value]" is an item of a list.
func has(schema map[string]any, fields []string) bool {
	for _, field := range fields {
		found := false
		if strings.HasPrefix(field, "[") {
			schema, found, _ = unstructured.NestedMap(schema, "items")
		} else {
			schema, found, _ = unstructured.NestedMap(schema, "properties", field)
		}
		if !found {
			return false
		}
	}
	return true
}
