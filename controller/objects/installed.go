package objects

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"

	"github.com/mesh-compile/mesh-compile/compiler/dialect"
)

// Resource is a kind that the compiler reads, as a cluster has it.
type Resource struct {
	Kind           // its versions are those served, unless it has a translator for one of them
	Version string // that is read
	Plural  string
}

func (r *Resource) gvr() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Plural}
}

// discoverer is the part of a discovery client that is used.
type discoverer interface {
	ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error)
}

// discover asks which kinds are installed. Those of others' groups may fail to answer.
func discover(d discoverer) ([]Resource, error) {
	_, lists, err := d.ServerGroupsAndResources()
	failed, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partial {
		return nil, fmt.Errorf("finding the kinds of the cluster: %w", err)
	}
	for gv, err := range failed {
		if reads(gv.Group) {
			return nil, fmt.Errorf("finding the kinds of %s: %w", gv, err)
		}
	}
	return installed(lists), nil
}

func reads(group string) bool { return slices.Contains(dialect.Groups(), group) }

// installed are the kinds in lists of a discovery, which come in any order.
func installed(lists []*metav1.APIResourceList) []Resource {
	kinds, served := map[schema.GroupKind]Resource{}, map[schema.GroupKind][]string{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil || !reads(gv.Group) {
			continue
		}
		for _, r := range list.APIResources {
			if k, ok := KindOf(gv.Group, r.Kind); ok && watchable(r) {
				k.Cluster = !r.Namespaced
				gk := schema.GroupKind{Group: gv.Group, Kind: r.Kind}
				kinds[gk], served[gk] = Resource{Kind: k, Plural: r.Name}, append(served[gk], gv.Version)
			}
		}
	}
	out := make([]Resource, 0, len(kinds))
	for gk, r := range kinds {
		out = append(out, r.read(served[gk]))
	}
	slices.SortFunc(out, func(a, b Resource) int { return strings.Compare(a.Group+"/"+a.Plural, b.Group+"/"+b.Plural) })
	return out
}

// watchable leaves out subresources.
func watchable(r metav1.APIResource) bool {
	return !strings.Contains(r.Name, "/") && slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch")
}

// read chooses the version that is read: one with a translator, or else the one that
// the API server prefers. Objects of that are an error, and not unseen.
func (r Resource) read(served []string) Resource {
	slices.SortFunc(served, func(a, b string) int { return version.CompareKubeAwareVersionStrings(b, a) })
	if i := slices.IndexFunc(r.Versions, func(v string) bool { return slices.Contains(served, v) }); i >= 0 {
		r.Version = r.Versions[i]
	} else {
		r.Versions, r.Version = served, served[0]
	}
	return r
}
