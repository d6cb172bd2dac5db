// Package objects shows the objects of a cluster to the compiler as the files of a
// policy repository.
//
// In go objects of the kinds that the compiler reads; out comes a set of files, one
// for each, as people would have written them: without status and what the server
// adds. The package judges nothing and writes nothing to the cluster.
package objects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler/dialect"
)

// Kind is one kind of objects that the compiler reads.
type Kind = dialect.Kind

// Kinds lists the kinds that may be objects of a cluster.
func Kinds() []Kind {
	var out []Kind
	for _, k := range dialect.Kinds() {
		if k.Group != "kustomize.config.k8s.io" && k.Kind != "PolicySync" { // a file, and the controller's own
			out = append(out, k)
		}
	}
	return out
}

// clusterDirectory holds objects without a namespace. No namespace has this name.
const clusterDirectory = "_cluster"

// Path is the file of an object: "shop/virtualservice.networking.istio.io.catalog.yaml".
func Path(group, kind, namespace, name string) string {
	if namespace == "" {
		namespace = clusterDirectory
	}
	file := strings.ToLower(kind)
	if group != "" {
		file += "." + group
	}
	return namespace + "/" + file + "." + name + ".yaml"
}

// PathOf is the file of an object.
func PathOf(u *unstructured.Unstructured) string {
	gvk := u.GroupVersionKind()
	return Path(gvk.Group, gvk.Kind, u.GetNamespace(), u.GetName())
}

// kept is the metadata that people write.
var kept = []string{"name", "namespace", "labels", "annotations"}

// lastApplied holds the whole object once more.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Render is an object as "kubectl get -o yaml" prints it, without status and what
// the server adds.
func Render(u *unstructured.Unstructured) ([]byte, error) {
	object := map[string]any{}
	for key, value := range u.Object {
		if key != "status" && key != "metadata" {
			object[key] = value
		}
	}
	metadata := map[string]any{}
	for _, key := range kept {
		if value, ok, _ := unstructured.NestedFieldNoCopy(u.Object, "metadata", key); ok {
			metadata[key] = value
		}
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		metadata["annotations"] = without(annotations, lastApplied)
	}
	object["metadata"] = metadata
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object); err != nil {
		return nil, fmt.Errorf("rendering %s %s/%s: %w", u.GetKind(), u.GetNamespace(), u.GetName(), err)
	}
	return yaml.JSONToYAML(text.Bytes())
}

func without(m map[string]any, key string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}
