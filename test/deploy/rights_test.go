package deploy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

var roles = []string{"reconcile", "sign", "deliver", "admit", "ca"}

// right is one line of testdata/rights.txt for one role, verb and resource.
type right struct {
	allow           bool
	role, verb      string
	group, resource string // resource may have a /subresource
	namespace, name string // "" is any
	line            int
}

func (r right) String() string {
	return fmt.Sprintf("testdata/rights.txt:%d: %s %s %s.%s", r.line, r.role, r.verb, r.resource, r.group)
}

func rights(t *testing.T) []right {
	t.Helper()
	var all []right
	scanner := bufio.NewScanner(bytes.NewReader(read(t, "test/deploy/testdata/rights.txt")))
	for line := 1; scanner.Scan(); line++ {
		text, _, _ := strings.Cut(scanner.Text(), "#")
		if fields := strings.Fields(text); len(fields) > 0 {
			all = append(all, parse(t, line, fields)...)
		}
	}
	return all
}

func parse(t *testing.T, line int, fields []string) []right {
	t.Helper()
	if len(fields) < 4 || len(fields)%2 != 0 || !slices.Contains([]string{"allow", "deny"}, fields[0]) {
		t.Fatalf("testdata/rights.txt:%d: %q", line, fields)
	}
	template := right{allow: fields[0] == "allow", line: line}
	for i := 4; i < len(fields); i += 2 {
		switch fields[i] {
		case "in":
			template.namespace = fields[i+1]
		case "named":
			template.name = fields[i+1]
		default:
			t.Fatalf("testdata/rights.txt:%d: %q", line, fields[i])
		}
	}
	who := strings.Split(fields[1], ",")
	if fields[1] == "all" {
		who = roles
	}
	var out []right
	for _, resource := range strings.Split(fields[3], ",") {
		full, sub, _ := strings.Cut(resource, "/")
		template.resource, template.group, _ = strings.Cut(full, ".")
		if sub != "" {
			template.resource += "/" + sub
		}
		for _, role := range who {
			for _, verb := range strings.Split(fields[2], ",") {
				r := template
				r.role, r.verb = role, verb
				out = append(out, r)
			}
		}
	}
	return out
}

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

// places are the namespaces in which rights are tried.
var places = []string{namespace, "kube-system"}

// tries are the places of a right.
func (r right) tries(a *api) []right {
	main, _, _ := strings.Cut(r.resource, "/")
	if version, known := a.versions[schema.GroupResource{Group: r.group, Resource: main}]; r.namespace != "" ||
		known && version != "" && !a.namespaced[schema.GroupResource{Group: r.group, Resource: main}] {
		return []right{r}
	}
	var out []right
	for _, place := range places {
		r.namespace = place
		out = append(out, r)
	}
	return out
}

// wrong tries rights in parallel and returns those of which the answer is not what the
// line says.
func wrong(t *testing.T, a *account, rights []right) []string {
	t.Helper()
	answers := make([]string, len(rights))
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for i, r := range rights {
		group.Go(func() error {
			may, err := a.may(ctx, r)
			if err == nil && may != r.allow {
				answers[i] = fmt.Sprintf("%s in %q: the API server says allowed: %v", r, r.namespace, may)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(answers, func(s string) bool { return s == "" })
}

// TestRights tries every line of testdata/rights.txt with the role's token.
func TestRights(t *testing.T) {
	cluster := installed(t)
	known := discover(t, cluster.Config)
	table := rights(t)
	for _, role := range roles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			for _, message := range wrong(t, accountOf(t, cluster, known, role), of(table, role, known)) {
				t.Error(message)
			}
		})
	}
}

// of are the rights of a role, in each place.
func of(table []right, role string, known *api) []right {
	var out []right
	for _, r := range table {
		if r.role == role {
			out = append(out, r.tries(known)...)
		}
	}
	return out
}

// TestNothingElse asks with each role's token for everything that the API server
// knows. What is permitted and not in the table is one right too many.
func TestNothingElse(t *testing.T) {
	cluster := installed(t)
	known := discover(t, cluster.Config)
	table := rights(t)
	for _, role := range roles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			for _, message := range wrong(t, accountOf(t, cluster, known, role), everything(table, role, known)) {
				t.Error(message)
			}
		})
	}
}

// TestNamedRights: rights on objects of one name, which a request for another does not
// show, are in the table too.
func TestNamedRights(t *testing.T) {
	table := rights(t)
	for _, object := range render(t, complete) {
		role := strings.TrimPrefix(object.GetName(), "mesh-")
		rules, _, _ := unstructured.NestedSlice(object.Object, "rules")
		for _, rule := range rules {
			var r rbacv1.PolicyRule
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(rule.(map[string]any), &r); err != nil {
				t.Fatal(err)
			}
			if object.GetKind() != "Role" && object.GetKind() != "ClusterRole" {
				continue
			}
			for _, want := range expand(role, r) {
				if !slices.ContainsFunc(table, want.named) {
					t.Errorf("%s %s: the table has no line for %s of %s named %s", object.GetKind(), object.GetName(), want.verb, want.resource, want.name)
				}
			}
		}
	}
}

// expand lists the rights of a rule with names.
func expand(role string, rule rbacv1.PolicyRule) []right {
	var out []right
	for _, name := range rule.ResourceNames {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					out = append(out, right{role: role, verb: verb, group: group, resource: resource, name: name})
				}
			}
		}
	}
	return out
}

func (r right) named(line right) bool {
	return line.allow && line.role == r.role && line.verb == r.verb && line.group == r.group &&
		line.resource == r.resource && line.name == r.name
}

// everything is a denial of each verb on each resource in each place that the table
// does not allow.
func everything(table []right, role string, known *api) []right {
	var out []right
	for _, resource := range known.resources {
		for verb := range methods {
			main, _, isSub := strings.Cut(resource.Resource, "/")
			if _, ok := known.versions[schema.GroupResource{Group: resource.Group, Resource: main}]; !ok {
				continue // a subresource of nothing has no URL
			}
			if isSub && (verb == "list" || verb == "watch" || verb == "deletecollection") {
				continue
			}
			denial := right{role: role, verb: verb, group: resource.Group, resource: resource.Resource}
			for _, r := range denial.tries(known) {
				if !slices.ContainsFunc(table, r.allowedBy) {
					out = append(out, r)
				}
			}
		}
	}
	return out
}

// allowedBy reports whether a line of the table allows a request that names no object
// of ours.
func (r right) allowedBy(line right) bool {
	return line.allow && line.role == r.role && line.verb == r.verb && line.group == r.group &&
		(line.resource == r.resource || line.resource == "*") &&
		(line.namespace == "" || line.namespace == r.namespace) && line.name == ""
}

// TestRightsCanFail gives one account every right that the table denies, and demands
// that each line notices.
func TestRightsCanFail(t *testing.T) {
	cluster := installed(t)
	known := discover(t, cluster.Config)
	var granted []right
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "mesh-mutant"}}
	for _, r := range rights(t) {
		if !r.allow && r.role == roles[0] {
			r.allow = true
			granted = append(granted, r.tries(known)...)
			role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{r.group}, Resources: []string{r.resource}, Verbs: []string{r.verb}})
		}
	}
	grant(t, cluster, role)
	mutant := accountOf(t, cluster, known, "mutant")
	kubetest.Until(t, func(context.Context) error { // authorization follows by an informer
		if missed := wrong(t, mutant, granted); len(missed) > 0 {
			return fmt.Errorf("granted, but not noticed:\n%s", strings.Join(missed, "\n"))
		}
		return nil
	})
}

func grant(t *testing.T, cluster *kubetest.Cluster, role *rbacv1.ClusterRole) {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: role.Name, Namespace: namespace}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := cluster.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := cluster.Client.Delete(context.Background(), object); err != nil {
				t.Error(err)
			}
		})
	}
}
