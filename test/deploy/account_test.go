package deploy

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// api is what the API server knows of resources.
type api struct {
	versions   map[schema.GroupResource]string
	namespaced map[schema.GroupResource]bool
	resources  []schema.GroupResource
}

func discover(t *testing.T, config *rest.Config) *api {
	t.Helper()
	known, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := known.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	a := &api{map[schema.GroupResource]string{}, map[schema.GroupResource]bool{}, nil}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			gr := schema.GroupResource{Group: gv.Group, Resource: r.Name}
			if _, seen := a.versions[gr]; seen {
				continue
			}
			a.versions[gr], a.namespaced[gr] = gv.Version, r.Namespaced
			a.resources = append(a.resources, gr)
		}
	}
	return a
}

// account asks the API server with a service account's own token.
type account struct {
	role   string
	host   string
	http   *http.Client
	client client.Client
	api    *api
}

func accountOf(t *testing.T, cluster *kubetest.Cluster, a *api, role string) *account {
	t.Helper()
	config := kubetest.Load(t, cluster.As(t, namespace, "mesh-"+role))
	config.QPS = -1
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &account{role, strings.TrimSuffix(config.Host, "/"), transport, c, a}
}

// methods are the verbs that are a request each; the others are asked for by an
// access review.
var methods = map[string]string{
	"get": http.MethodGet, "list": http.MethodGet, "watch": http.MethodGet, "create": http.MethodPost,
	"update": http.MethodPut, "patch": http.MethodPatch, "delete": http.MethodDelete, "deletecollection": http.MethodDelete,
}

// may reports whether the API server lets the account do it in a namespace.
func (a *account) may(ctx context.Context, r right) (bool, error) {
	switch {
	case r.verb == "impersonate":
		return a.impersonates(ctx, r)
	case methods[r.verb] == "":
		return a.review(ctx, r)
	}
	request, err := a.request(ctx, r)
	if err != nil {
		return false, err
	}
	return a.permitted(request)
}

// refusal is how RBAC refuses a resource, by its own words in the API server.
var refusal = regexp.MustCompile(`User \\"[^"]+\\" cannot [a-z:-]+ resource`)

// permitted sends the request. Only authorization refuses in these words: admission
// and validation, which come after it, have others.
func (a *account) permitted(request *http.Request) (bool, error) {
	status, body, err := a.send(request)
	return status != http.StatusForbidden || !refusal.Match(body), err
}

func (a *account) send(request *http.Request) (status int, body []byte, err error) {
	response, err := a.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		return response.StatusCode, nil, nil // a watch has no end
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, 1<<16))
	return response.StatusCode, body, err
}

func (a *account) request(ctx context.Context, r right) (*http.Request, error) {
	main, sub, _ := strings.Cut(r.resource, "/")
	gr := schema.GroupResource{Group: r.group, Resource: main}
	version, known := a.api.versions[gr]
	if !known {
		version = "v1"
	}
	url := a.host + "/apis/" + r.group + "/" + version
	if r.group == "" {
		url = a.host + "/api/v1"
	}
	if !known || a.api.namespaced[gr] {
		url += "/namespaces/" + r.namespace
	}
	url += "/" + main
	if collection := slices.Contains([]string{"list", "watch", "deletecollection"}, r.verb) || r.verb == "create" && sub == ""; !collection {
		url += "/" + cmp.Or(r.name, "nothing-is-called-this")
	}
	if sub != "" {
		url += "/" + sub
	}
	switch r.verb {
	case "watch":
		url += "?watch=true&timeoutSeconds=1" + named(r.name)
	case "list":
		url += "?limit=1" + named(r.name)
	case "get":
	default:
		url += "?dryRun=All"
	}
	return build(ctx, methods[r.verb], url, r.verb)
}

// named restricts a list to one object, as RBAC's resourceNames demand.
func named(name string) string {
	if name == "" {
		return ""
	}
	return "&fieldSelector=metadata.name%3D" + name
}

func build(ctx context.Context, method, url, verb string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader("{}"))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if verb == "patch" {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	return request, nil
}

// impersonates tries to be somebody else.
func (a *account) impersonates(ctx context.Context, r right) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.host+"/version", nil)
	if err != nil {
		return false, err
	}
	switch r.resource {
	case "users":
		request.Header.Set("Impersonate-User", "admin")
	case "groups":
		request.Header.Set("Impersonate-User", "admin")
		request.Header.Set("Impersonate-Group", "system:masters")
	case "serviceaccounts":
		request.Header.Set("Impersonate-User", "system:serviceaccount:mesh-system:mesh-sign")
	}
	status, _, err := a.send(request) // everybody may read the version
	return status != http.StatusForbidden, err
}

// review asks for a verb that is no request of its own, such as escalate.
func (a *account) review(ctx context.Context, r right) (bool, error) {
	main, sub, _ := strings.Cut(r.resource, "/")
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: r.namespace, Verb: r.verb, Group: r.group, Resource: main, Subresource: sub, Name: r.name,
		},
	}}
	err := a.client.Create(ctx, review)
	return review.Status.Allowed, err
}
