package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/store"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/node"
	"github.com/mesh-compile/mesh-compile/test/localmesh"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // of clients; they warn where nobody set one
	kubetest.Main(m)
}

// system is the namespace of the control plane.
const system = "mesh-system"

// world is a cluster with the control plane and a mesh of three workloads.
type world struct {
	t       testing.TB
	cluster *kubetest.Cluster
	client  client.WithWatch // of an administrator; knows the kinds of this project
	node    *node.Node
	keys    string // directory

	roles                          map[string]*node.Pod
	customer, catalogV1, catalogV2 *node.Sidecar
}

// in is the world for a subtest.
func (w *world) in(t testing.TB) *world {
	out := *w
	out.t = t
	return &out
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) until(check func(context.Context) error) {
	w.t.Helper()
	kubetest.Until(w.t, check)
}

// requireRoles skips a test of a role that the program does not have.
func (w *world) requireRoles(roles []string) {
	w.t.Helper()
	for _, role := range roles {
		out, err := exec.CommandContext(w.t.Context(), kubetest.Build(w.t, "./cmd/mesh-controller"), role, "--help").CombinedOutput()
		switch {
		case err == nil && strings.Contains(string(out), "mesh-controller "+role):
		case os.Getenv("CI") == "":
			w.t.Skipf("mesh-controller has no role %s", role)
		default:
			w.t.Fatalf("mesh-controller has no role %s", role)
		}
	}
}

// install applies the manifests that are shipped and runs the roles, as docs/kubernetes.md says.
func install(t testing.TB, roles ...string) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts a control plane and several Envoys")
	}
	w := &world{t: t, keys: filepath.Join(t.TempDir(), "keys"), roles: map[string]*node.Pod{}}
	w.requireRoles(roles)
	c := kubetest.Start(t)
	w.cluster = c
	w.client = newClient(t, c)
	w.node = node.New(t, c, map[string]string{"mesh-controller": kubetest.Build(t, "./cmd/mesh-controller")})
	w.meshCompile("keygen", "-o", w.keys, "--mesh", "shop", "--trust-domain", "shop.example")

	root, err := tools.ModuleRoot()
	w.must(err)
	c.Kubectl(t, "apply", "--server-side", "-k", filepath.Join(root, "deploy", "quickstart"))
	t.Cleanup(func() { w.uninstall(filepath.Join(root, "deploy", "quickstart")) })
	w.createKeys()
	for _, role := range roles {
		w.roles[role] = w.node.Run(t, system, "mesh-"+role)
	}
	for _, service := range []string{"mesh-ca", "mesh-deliver", "mesh-admit"} {
		w.node.Serve(t, system, service)
	}
	c.Namespace(t, "shop", nil)
	return w
}

// uninstall takes everything away, and waits until it is gone.
func (w *world) uninstall(manifests string) {
	out, err := w.cluster.TryKubectl(w.t, "", "delete", "-k", manifests, "--wait=false", "--ignore-not-found")
	if err != nil {
		w.t.Errorf("uninstalling: %v\n%s", err, out)
	}
	w.node.End(w.t)
	if out, err = w.cluster.TryKubectl(w.t, "", "wait", "--for=delete", "namespace/"+system, "--timeout=60s"); err != nil {
		w.t.Errorf("uninstalling: %v\n%s", err, out)
	}
}

func newClient(t testing.TB, c *kubetest.Cluster) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	out, err := client.NewWithWatch(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// meshCompile runs the command and returns its standard output.
func (w *world) meshCompile(args ...string) string {
	w.t.Helper()
	out, errors, err := w.tryMeshCompile(args...)
	if err != nil {
		w.t.Fatalf("mesh-compile %s: %v\n%s%s", strings.Join(args, " "), err, out, errors)
	}
	return out
}

// tryMeshCompile returns what the command prints on its standard output and error.
func (w *world) tryMeshCompile(args ...string) (stdout, stderr string, err error) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), kubetest.Build(w.t, "./cmd/mesh-compile"), args...)
	var out, errors strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errors
	err = cmd.Run()
	return out.String(), errors.String(), err
}

// createKeys gives the roles their keys as an administrator does.
func (w *world) createKeys() {
	w.t.Helper()
	from := func(names ...string) (args []string) {
		for _, name := range names {
			args = append(args, "--from-file="+filepath.Join(w.keys, name))
		}
		return args
	}
	w.cluster.Kubectl(w.t, append([]string{"-n", system, "create", "configmap", "mesh-root"}, from("root.dsse.json")...)...)
	w.cluster.Kubectl(w.t, append([]string{"-n", system, "create", "secret", "generic", "mesh-ca"}, from("ca.key", "ca.crt")...)...)
	w.cluster.Kubectl(w.t, append([]string{"-n", system, "create", "secret", "generic", "mesh-release-key"}, from("release.key")...)...)
}

func (w *world) root() string { return filepath.Join(w.keys, "root.dsse.json") }

// sidecar runs a pod of a workload of the shop.
func (w *world) sidecar(workload, service, version string) *node.Sidecar {
	w.t.Helper()
	return w.node.RunSidecar(w.t, node.Sidecar{Namespace: "shop", Workload: workload, Service: service, Version: version, Root: w.root()})
}

// runMesh runs a pod of each workload and waits until all take traffic.
func (w *world) runMesh() {
	w.t.Helper()
	w.customer = w.sidecar("customer", "customer", "v1")
	w.catalogV1 = w.sidecar("catalog-v1", "catalog", "v1")
	w.catalogV2 = w.sidecar("catalog-v2", "catalog", "v2")
	for _, s := range w.sidecars() {
		s.Ready(w.t)
	}
	w.settle()
}

// settle waits until the customer's Envoy knows who answers for the catalog.
func (w *world) settle() {
	w.t.Helper()
	w.until(func(ctx context.Context) error {
		ready, err := w.cluster.Endpoints(ctx, "shop", "catalog")
		if err == nil && len(ready) != 2 {
			err = fmt.Errorf("%v are ready", ready)
		}
		return err
	})
	w.until(func(context.Context) error {
		o := read
		o.Requests = 20
		r, err := w.customer.Call(o)
		if have, others := r.Count(200); err == nil && others > 0 {
			err = fmt.Errorf("%d answers are 200, %d are not: %v", have, others, r.Status)
		}
		return err
	})
}

func (w *world) sidecars() []*node.Sidecar {
	return []*node.Sidecar{w.customer, w.catalogV1, w.catalogV2}
}

// published puts a release of policies into the cluster as the reconcile role does, and returns its
// number when it is signed.
func (w *world) published(policies string) int64 {
	w.t.Helper()
	return w.signed(w.release(policies))
}

// release makes a Release whose content is in the store, and returns its name.
func (w *world) release(policies string) string {
	w.t.Helper()
	out := filepath.Join(w.t.TempDir(), "release")
	w.meshCompile("build", policies, "-o", out, "--trust-bundle", filepath.Join(w.keys, "ca.crt"))
	content, err := artifact.Read(os.DirFS(out), artifact.DefaultLimits)
	w.must(err)
	s, err := store.Open("file://" + w.node.Claim(system, "mesh-store"))
	w.must(err)
	w.must(s.Put(w.t.Context(), content))
	r := &v1alpha1.Release{}
	r.Namespace, r.Name = system, fmt.Sprintf("mesh-%d", len(w.releases())+1)
	r.Spec = v1alpha1.ReleaseSpec{Sync: "mesh", Revision: r.Name, Content: store.Key(content).String(), Workloads: 3}
	w.must(w.client.Create(w.t.Context(), r))
	return r.Name
}

// signed waits until a Release is signed, and returns its number.
func (w *world) signed(name string) int64 {
	w.t.Helper()
	r := &v1alpha1.Release{}
	w.until(func(ctx context.Context) error {
		err := w.client.Get(ctx, client.ObjectKey{Namespace: system, Name: name}, r)
		if err == nil && r.Status.Signature == nil {
			err = fmt.Errorf("%s is not signed: %+v", name, r.Status)
		}
		return err
	})
	return r.Status.Signature.Sequence
}

func (w *world) releases() []v1alpha1.Release {
	w.t.Helper()
	var list v1alpha1.ReleaseList
	w.must(w.client.List(w.t.Context(), &list, client.InNamespace(system)))
	return list.Items
}

// policies copies the shop's policies, with changes to its files by name.
func (w *world) policies(edits map[string]string) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "policies")
	w.must(os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "shop"))))
	for name, text := range edits {
		w.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

// route is route.yaml with so many percent of the catalog's requests for v2.
func route(percent int) string {
	text := fmt.Sprintf(`apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: catalog, namespace: shop}
spec:
  service: catalog
  rules:
  - name: catalog
    to:
    - {version: v1, weight: %d}
`, 100-percent)
	if percent > 0 {
		text += fmt.Sprintf("    - {version: v2, weight: %d}\n", percent)
	}
	return text
}

// applyShop applies what runs in the shop: services, accounts, deployments.
func (w *world) applyShop() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "shop", "apps.yaml"))
	w.must(err)
	w.cluster.Apply(w.t, string(text))
}

var (
	read   = localmesh.Order{Method: "GET", URL: "http://catalog:8080/items"}
	change = localmesh.Order{Method: "POST", URL: "http://catalog:8080/items"} // that no rule allows
)

// serves makes requests that must be answered and some that must be refused, and says which versions
// answered.
func (w *world) serves(when string) map[string]int {
	w.t.Helper()
	answered := w.answered(when, read, 200)
	w.answered(when, change, 403)
	return answered.Versions
}

func (w *world) answered(when string, o localmesh.Order, status int) localmesh.Tally {
	w.t.Helper()
	o.Requests, o.Concurrency = 40, 4
	r, err := w.customer.Call(o)
	w.must(err)
	if have, others := r.Count(status); others > 0 {
		w.t.Errorf("%s: %s was answered with %d %d times, and otherwise %d times: %v\n%q", when, o.Method, status, have, others, r.Status, r.Failures)
	}
	return r
}

// underLoad reads all the time while something is done; every request must be answered with 200.
func (w *world) underLoad(do func()) localmesh.Tally {
	w.t.Helper()
	o := read
	o.Concurrency = 2
	stop, err := w.customer.Load(o)
	w.must(err)
	begun := time.Now()
	do()
	load, err := stop()
	w.must(err)
	if have, others := load.Count(200); have == 0 || others > 0 {
		w.t.Errorf("%d requests were answered with 200, %d were not: %v\n%q", have, others, load.Status, load.Failures)
	}
	w.t.Logf("%d requests in %s", load.Requests, time.Since(begun).Round(time.Millisecond))
	return load
}
