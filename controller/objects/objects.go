// Package objects shows the objects of a cluster to the compiler as the files of a
// policy repository.
//
// In go objects of the kinds that the compiler reads; out comes a set of files, one
// for each, as people would have written them: without status and what the server
// adds. The package judges nothing and writes nothing to the cluster.
package objects

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// Kind is one kind of objects that the compiler reads.
type Kind = dialect.Kind

// Kinds lists the kinds with a translator that may be objects of a cluster.
func Kinds() []Kind {
	return slices.DeleteFunc(dialect.Kinds(), func(k Kind) bool { return !ofCluster(k) })
}

// KindOf returns what is known of a kind, false where the compiler does not read its
// objects.
func KindOf(group, kind string) (Kind, bool) {
	if k, ok := dialect.KindOf(group, kind); ok && ofCluster(k) {
		return k, true
	}
	return Kind{}, false
}

// ofCluster leaves out what is a file only (a cluster's ConfigMaps are many, change all
// the time, and are anybody's), and what is the controller's own: all
// policies of its group have translators.
func ofCluster(k Kind) bool {
	return (k.Group != "" || k.Kind != "ConfigMap") && k.Group != "kustomize.config.k8s.io" && (k.Group != v1alpha1.Group || k.Translated && k.Kind != "PolicySync")
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
