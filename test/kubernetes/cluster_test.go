package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/test/localmesh"
)

// TestClusterSource has policies that are objects of the cluster, of two teams. There is
// no admission: objects with errors get in.
func TestClusterSource(t *testing.T) {
	w := install(t, "ca", "sign", "deliver", "reconcile")
	w.startCluster()
	t.Run("a bad object holds back nobody else", func(t *testing.T) { w.in(t).badRoute() })
	t.Run("a kind without a translator is named", func(t *testing.T) { w.in(t).untranslated() })
	t.Run("a broken update of a deny leaves it in force", func(t *testing.T) { w.in(t).badDeny() })
	t.Run("a deny that is broken from the start opens nothing", func(t *testing.T) { w.in(t).badNewDeny() })
	t.Run("a namespace is deleted", func(t *testing.T) { w.in(t).namespaceDeleted() })
}

const clusterSync = `apiVersion: mesh-compile.dev/v1alpha1
kind: PolicySync
metadata: {name: mesh, namespace: mesh-system}
spec:
  interval: 10m
  retryInterval: 2s
  sources:
  - name: cluster
    cluster: {}
`

// guard is the catalog's policy: who reads what, and what nobody does.
func guard(methods, deny string) string {
	return fmt.Sprintf(`apiVersion: mesh-compile.dev/v1alpha1
kind: AccessPolicy
metadata: {name: catalog, namespace: shop}
spec:
  service: catalog
  allow:
  - name: readers
    from: {serviceAccounts: [{name: customer}]}
    to: {methods: [%s]}
  deny:
  - name: admin
    from: {anyone: true}
    to: {%s}
`, methods, deny)
}

const (
	adminDenied = "paths: [{prefix: /admin}]"
	brokenDeny  = "paths: [{prefix: /admin}], ports: [9999]" // that the catalog does not have
)

var admin = localmesh.Order{Method: "GET", URL: "http://catalog:8080/admin"}

// startCluster lets objects become a mesh.
func (w *world) startCluster() {
	w.applyShop()
	w.cluster.Namespace(w.t, "team", nil) // for all subtests
	for _, name := range []string{"mesh.yaml", "route.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", "shop", name))
		w.must(err)
		w.cluster.Apply(w.t, string(text))
	}
	w.cluster.Apply(w.t, guard("GET", adminDenied))
	w.cluster.Apply(w.t, clusterSync)
	w.nothingQuarantined()
	w.runMesh()
	w.condition("accesspolicy", "shop", "catalog", "True")
	w.serves("at first")
	w.answered("at first", admin, 403)
}

// policySync waits until the status is as it should be.
func (w *world) policySync(check func(*v1alpha1.PolicySyncStatus) error) {
	w.t.Helper()
	w.until(func(ctx context.Context) error {
		var s v1alpha1.PolicySync
		err := w.client.Get(ctx, client.ObjectKey{Namespace: system, Name: "mesh"}, &s)
		if err == nil {
			if err = check(&s.Status); err != nil {
				err = fmt.Errorf("%w: %+v", err, s.Status)
			}
		}
		return err
	})
}

func (w *world) nothingQuarantined() {
	w.t.Helper()
	w.policySync(func(s *v1alpha1.PolicySyncStatus) error {
		if !apimeta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionReady) || len(s.Quarantined) > 0 {
			return errors.New("it is not ready, or something is quarantined")
		}
		return nil
	})
}

// quarantined waits until an object is quarantined while the rest is live, and returns
// what is said of it.
func (w *world) quarantined(object string) (q v1alpha1.QuarantinedObject) {
	w.t.Helper()
	w.policySync(func(s *v1alpha1.PolicySyncStatus) error {
		i := slices.IndexFunc(s.Quarantined, func(q v1alpha1.QuarantinedObject) bool { return q.Object == object })
		ready := apimeta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
		if i < 0 || ready == nil || ready.Status != "True" || !strings.Contains(ready.Message, "quarantined") {
			return fmt.Errorf("%s is not quarantined", object)
		}
		q = s.Quarantined[i]
		return nil
	})
	return q
}

// condition waits until kubectl shows what became of the newest version of an object.
func (w *world) condition(kind, namespace, name, status string) {
	w.t.Helper()
	w.until(func(context.Context) error {
		out, err := w.cluster.TryKubectl(w.t, "", "-n", namespace, "get", kind, name, "-o",
			`jsonpath={.metadata.generation}/{.status.conditions[?(@.type=="Accepted")].observedGeneration} {.status.conditions[?(@.type=="Accepted")].status} {.status.conditions[?(@.type=="Accepted")].message}`)
		if err != nil {
			return err
		}
		generations, rest, _ := strings.Cut(out, " ")
		now, observed, _ := strings.Cut(generations, "/")
		if now != observed || !strings.HasPrefix(rest, status) {
			return fmt.Errorf("the condition Accepted of %s %s/%s is %q, not %s", kind, namespace, name, out, status)
		}
		return nil
	})
}

// becomes waits until requests are answered otherwise than before.
func (w *world) becomes(o localmesh.Order, status int) {
	w.t.Helper()
	w.until(func(context.Context) error {
		o.Requests = 5
		r, err := w.customer.Call(o)
		if _, others := r.Count(status); err == nil && others > 0 {
			err = fmt.Errorf("%s %s is answered with %v, not %d", o.Method, o.URL, r.Status, status)
		}
		return err
	})
}

// denied asks all the time for what is denied while something is done.
func (w *world) denied(o localmesh.Order, do func()) {
	w.t.Helper()
	o.Concurrency = 2
	stop, err := w.customer.Load(o)
	w.must(err)
	do()
	load, err := stop()
	w.must(err)
	if have, others := load.Count(403); have == 0 || others > 0 {
		w.t.Errorf("%s %s was answered with 403 %d times, and otherwise %d times: %v\n%q", o.Method, o.URL, have, others, load.Status, load.Failures)
	}
}

const teamRoute = `apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: team, namespace: team}
spec:
  service: offers
  rules:
  - name: all
    to: [{service: %s}]
`

// badRoute: one team's route leads nowhere; the other's moves traffic.
func (w *world) badRoute() {
	for _, name := range []string{"service.yaml", "workload.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", "team", name))
		w.must(err)
		w.cluster.Apply(w.t, string(text))
	}
	w.cluster.Apply(w.t, fmt.Sprintf(teamRoute, "nowhere"))
	q := w.quarantined("MeshRoute team/team")
	if q.InForce != "" || !strings.Contains(q.Message, "spec.rules[0]") || !strings.Contains(q.Message, "[unknowndestination]") {
		w.t.Errorf("the status says %+v", q)
	}
	w.condition("meshroute", "team", "team", "False")
	for _, args := range [][]string{
		{"-n", "team", "get", "events", "--field-selector", "involvedObject.kind=MeshRoute,reason=Quarantined"},
		{"-n", system, "get", "events", "--field-selector", "involvedObject.kind=PolicySync,reason=Quarantined"},
	} {
		w.until(func(context.Context) error {
			out, err := w.cluster.TryKubectl(w.t, "", args...)
			if err == nil && !strings.Contains(out, "destination team/nowhere does not exist") {
				err = fmt.Errorf("kubectl %s says\n%s", strings.Join(args, " "), out)
			}
			return err
		})
	}
	w.underLoad(func() {
		w.cluster.Apply(w.t, route(50))
		w.condition("meshroute", "shop", "catalog", "True")
		w.until(func(context.Context) error {
			o := read
			o.Requests = 20
			r, err := w.customer.Call(o)
			if err == nil && r.Versions["v2"] == 0 {
				err = fmt.Errorf("answers come from %v", r.Versions)
			}
			return err
		})
	})
	w.cluster.Apply(w.t, fmt.Sprintf(teamRoute, "offers"))
	w.condition("meshroute", "team", "team", "True")
	w.nothingQuarantined()
}

// badDeny: it denies all the time, also after the controller died, until it is mended.
func (w *world) badDeny() {
	w.denied(admin, func() {
		before := w.cluster.Kubectl(w.t, "-n", "shop", "get", "accesspolicy", "catalog", "-o", "jsonpath={.metadata.generation}")
		w.cluster.Apply(w.t, guard("GET", brokenDeny))
		q := w.quarantined("AccessPolicy shop/catalog")
		if q.InForce == "" || !strings.Contains(q.Message, "port 9999") {
			w.t.Errorf("the status says %+v", q)
		}
		w.condition("accesspolicy", "shop", "catalog", "False")
		w.cluster.Apply(w.t, fmt.Sprintf(teamRoute, "offers")+"    timeout: 3s\n")
		w.condition("meshroute", "team", "team", "True")

		w.roles["reconcile"].Kill()
		w.cluster.Apply(w.t, fmt.Sprintf(teamRoute, "offers")+"    timeout: 4s\n")
		w.must(w.roles["reconcile"].Start())
		w.condition("meshroute", "team", "team", "True") // after what it was made of was read again
		if again := w.quarantined("AccessPolicy shop/catalog"); again.InForce != q.InForce {
			w.t.Errorf("version %s of the deny of generation %s was in force, and is %s", q.InForce, before, again.InForce)
		}
		w.serves("with a deny that is quarantined")
		w.cluster.Apply(w.t, guard("GET", adminDenied))
		w.condition("accesspolicy", "shop", "catalog", "True")
		w.nothingQuarantined()
	})
	w.serves("with a deny that is mended")
}

// badNewDeny: what its namespace opens beside it stays closed, until it is gone.
func (w *world) badNewDeny() {
	second := strings.ReplaceAll(guard("GET", brokenDeny), "name: catalog, namespace", "name: second, namespace")
	w.denied(change, func() {
		w.cluster.Apply(w.t, second+"---\n"+guard("GET, POST", adminDenied))
		w.quarantined("AccessPolicy shop/second")
		w.condition("accesspolicy", "shop", "second", "False")
		w.condition("accesspolicy", "shop", "catalog", "False")
	})
	w.cluster.Kubectl(w.t, "-n", "shop", "delete", "accesspolicy", "second")
	w.condition("accesspolicy", "shop", "catalog", "True")
	w.becomes(change, 200)
	w.cluster.Apply(w.t, guard("GET", adminDenied))
	w.becomes(change, 403)
}

// namespaceDeleted: whatever goes first, all of it goes.
func (w *world) namespaceDeleted() {
	w.underLoad(func() {
		text := strings.NewReplacer("shop", "team", "service: catalog", "service: offers").Replace(guard("GET", adminDenied))
		w.cluster.Apply(w.t, text)
		w.condition("accesspolicy", "team", "catalog", "True")
		w.cluster.Kubectl(w.t, "delete", "namespace", "team", "--timeout=60s")
		w.nothingQuarantined()
	})
	w.serves("without a namespace")
}
