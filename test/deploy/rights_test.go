package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

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
