package objects

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// answer is what an API server says.
type answer struct {
	lists  []*metav1.APIResourceList
	failed error
}

func (a answer) ServerGroupsAndResources() ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	return nil, a.lists, a.failed
}

func list(groupVersion string, resources ...metav1.APIResource) *metav1.APIResourceList {
	return &metav1.APIResourceList{GroupVersion: groupVersion, APIResources: resources}
}

func resource(plural, kind string, namespaced bool) metav1.APIResource {
	return metav1.APIResource{Name: plural, Kind: kind, Namespaced: namespaced, Verbs: metav1.Verbs{"create", "get", "list", "watch"}}
}

// TestDiscover: every kind of a policy group is found, whether it has a translator or
// not, in whatever order the API server names its versions.
func TestDiscover(t *testing.T) {
	review := resource("reviews", "Review", true)
	review.Verbs = metav1.Verbs{"create"}
	a := answer{lists: []*metav1.APIResourceList{
		list("v1", resource("services", "Service", true), resource("services/status", "Service", true), resource("secrets", "Secret", true)),
		list("networking.istio.io/v1alpha3", resource("virtualservices", "VirtualService", true), resource("envoyfilters", "EnvoyFilter", true)),
		list("networking.istio.io/v2", resource("virtualservices", "VirtualService", true)),
		list("networking.istio.io/v1", resource("virtualservices", "VirtualService", true)),
		list("security.istio.io/v2", resource("authorizationpolicies", "AuthorizationPolicy", true)),
		list("gateway.networking.k8s.io/v1beta1", resource("httproutes", "HTTPRoute", true), resource("httproutes/status", "HTTPRoute", true)),
		list("gateway.networking.k8s.io/v1", resource("httproutes", "HTTPRoute", true), resource("gatewayclasses", "GatewayClass", false), review),
		list("mesh-compile.dev/v1alpha1", resource("meshroutes", "MeshRoute", true), resource("releases", "Release", true), resource("policysyncs", "PolicySync", true)),
		list("example.com/v1", resource("virtualservices", "VirtualService", true)),
	}}
	for range 2 {
		found, err := discover(a)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range found {
			scope := ""
			if r.Cluster {
				scope = " of the cluster"
			}
			got = append(got, r.Group+"/"+r.Version+" "+r.Plural+scope)
		}
		want := []string{
			"/v1 services",
			"gateway.networking.k8s.io/v1 gatewayclasses of the cluster",
			"gateway.networking.k8s.io/v1 httproutes",
			"mesh-compile.dev/v1alpha1 meshroutes",
			"networking.istio.io/v1alpha3 envoyfilters",
			"networking.istio.io/v1 virtualservices",
			"security.istio.io/v2 authorizationpolicies",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"v1", "v1beta1"}, found[2].Versions); diff != "" {
			t.Errorf("versions of HTTPRoute (-want +got):\n%s", diff)
		}
		if !slices.Contains(found[5].Versions, "v1beta1") || slices.Contains(found[5].Versions, "v2") {
			t.Errorf("versions of VirtualService are %q", found[5].Versions)
		}
		slices.Reverse(a.lists)
	}
}

// TestDiscoverFails: a group that does not answer is not one without kinds, unless it is
// none of ours.
func TestDiscoverFails(t *testing.T) {
	for group, want := range map[string]bool{"metrics.k8s.io": true, "security.istio.io": false} {
		failed := &discovery.ErrGroupDiscoveryFailed{Groups: map[schema.GroupVersion]error{{Group: group, Version: "v1"}: errors.New("stale")}}
		if _, err := discover(answer{failed: failed}); (err == nil) != want {
			t.Errorf("%s: %v", group, err)
		}
	}
	if _, err := discover(answer{failed: errors.New("no answer")}); err == nil {
		t.Error("no answer is not nothing installed")
	}
}
