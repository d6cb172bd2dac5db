package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
	"github.com/mesh-compile/mesh-compile/controller/fleet"
	"github.com/mesh-compile/mesh-compile/controller/fleet/cluster"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// asDeliver has the rights of the deliver role as it is deployed, in a namespace.
func asDeliver(t *testing.T, c *kubetest.Cluster, namespace string) *rest.Config {
	t.Helper()
	root, err := tools.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "deploy/base/deliver.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c.Namespace(t, namespace, nil)
	rights := regexp.MustCompile(`(?m)^kind: (ServiceAccount|Role(Binding)?)$`)
	for _, doc := range strings.Split(string(data), "\n---\n") {
		if rights.MatchString(doc) {
			c.Apply(t, strings.ReplaceAll(doc, "namespace: mesh-system", "namespace: "+namespace))
		}
	}
	return kubetest.Load(t, c.As(t, namespace, "mesh-deliver"))
}

// replica is a writer whose proxies a test sets.
type replica struct {
	mu      sync.Mutex
	proxies []v1alpha1.ProxyReport
	version uint64
	stop    func()
}

func newReplica(t *testing.T, config *rest.Config, namespace, name string, proxies ...v1alpha1.ProxyReport) *replica {
	t.Helper()
	r := &replica{proxies: proxies, version: 1}
	w := &cluster.Writer{
		Config: config, Namespace: namespace, Replica: name, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Proxies: func() []v1alpha1.ProxyReport { r.mu.Lock(); defer r.mu.Unlock(); return r.proxies },
		Version: func() uint64 { r.mu.Lock(); defer r.mu.Unlock(); return r.version },
		Highest: func() int64 { return 42 },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *replica) set(proxies ...v1alpha1.ProxyReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proxies = proxies
	r.version++
}

func proxy(instance string, sequence uint64, change ...func(*deliver.ProxyState)) v1alpha1.ProxyReport {
	p := deliver.ProxyState{
		Identity: "spiffe://shop.example/ns/shop/sa/order", Workload: "shop/order", Instance: instance,
		Sequence: sequence, Running: sequence, State: deliver.StateApplied, Connected: true, Reported: time.Now(),
	}
	for _, f := range change {
		f(&p)
	}
	return fleet.Report(p)
}

func proxies(n int) (out []v1alpha1.ProxyReport) {
	for i := range n {
		out = append(out, proxy(fmt.Sprintf("order-%04d", i), 1))
	}
	return out
}

// reports are the FleetReports and what each holds.
func reports(t *testing.T, c *kubetest.Cluster, namespace string) (all []v1alpha1.FleetReport, sizes map[string]int) {
	t.Helper()
	var list v1alpha1.FleetReportList
	page, err := c.TryKubectl(t, "", "get", "--raw", "/apis/mesh-compile.dev/v1alpha1/namespaces/"+namespace+"/fleetreports")
	if err != nil {
		t.Fatal(err, page)
	}
	if err := json.Unmarshal([]byte(page), &list); err != nil {
		t.Fatal(err)
	}
	sizes = map[string]int{}
	for _, r := range list.Items {
		sizes[r.Name] = len(r.Proxies)
	}
	return list.Items, sizes
}

func await(t *testing.T, c *kubetest.Cluster, namespace string, want map[string]int) {
	t.Helper()
	kubetest.Until(t, func(context.Context) error {
		_, got := reports(t, c, namespace)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("FleetReports (-want +got):\n%s", diff)
		}
		return nil
	})
}

// TestReports writes with the role's own rights, and reads them back.
func TestReports(t *testing.T) {
	c := kubetest.Start(t)
	const namespace = "reports"
	config := asDeliver(t, c, namespace)
	hostile := proxy("hostile", 1, func(p *deliver.ProxyState) {
		p.State, p.Error, p.Drift = deliver.StateRejected, strings.Repeat("\"\\\n\x00é", 4096), strings.Repeat("\U0001F980", 2048)
		p.Instance = "\x1b[2J" + strings.Repeat("x", 1024)
	})
	many := append(proxies(1099), hostile)
	a := newReplica(t, config, namespace, "mesh-deliver-a", many...)
	b := newReplica(t, config, namespace, "mesh-deliver-b", proxy("order-0001", 9))
	await(t, c, namespace, map[string]int{"mesh-deliver-a-0": 500, "mesh-deliver-a-1": 500, "mesh-deliver-a-2": 100, "mesh-deliver-b-0": 1})

	reader, err := cluster.NewReader(c.Config, namespace)
	if err != nil {
		t.Fatal(err)
	}
	now, err := reader.Fleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(now.Proxies) != 1100 {
		t.Errorf("%d proxies, want 1100: two replicas know one of them", len(now.Proxies))
	}
	all, _ := reports(t, c, namespace)
	if got := fleet.HighestSequence(all); got != 42 {
		t.Errorf("highest sequence %d, want 42", got)
	}

	// A change writes the shard that it is in, and no other.
	before := versions(t, c, namespace)
	changed := slices.Clone(many)
	changed[700].Drift = "listener is missing"
	a.set(changed...)
	kubetest.Until(t, func(context.Context) error {
		if now := versions(t, c, namespace); now["mesh-deliver-a-1"] == before["mesh-deliver-a-1"] {
			return fmt.Errorf("the second shard is not written")
		}
		return nil
	})
	after := versions(t, c, namespace)
	delete(before, "mesh-deliver-a-1")
	delete(after, "mesh-deliver-a-1")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("shards without news are written:\n%s", diff)
	}

	a.set(proxies(3)...)
	await(t, c, namespace, map[string]int{"mesh-deliver-a-0": 3, "mesh-deliver-b-0": 1})
	b.stop()
	await(t, c, namespace, map[string]int{"mesh-deliver-a-0": 3})
	a.stop()
	await(t, c, namespace, map[string]int{})
}

func versions(t *testing.T, c *kubetest.Cluster, namespace string) map[string]string {
	t.Helper()
	all, _ := reports(t, c, namespace)
	out := map[string]string{}
	for _, r := range all {
		out[r.Name] = r.ResourceVersion
	}
	return out
}

// viewer is what a pipeline needs: nothing but lists of three kinds.
const viewer = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: viewer, namespace: commands}
rules:
- apiGroups: [mesh-compile.dev]
  resources: [releases, fleetreports, policysyncs]
  verbs: [list]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: viewer, namespace: commands}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: viewer}
subjects: [{kind: ServiceAccount, name: viewer, namespace: commands}]
`

const commit = "c0ffee0c0ffee0c0ffee0c0ffee0c0ffee0c0ffe"

// TestCommands asks the API server with the commands, as somebody who may list.
func TestCommands(t *testing.T) {
	c := kubetest.Start(t)
	const namespace = "commands"
	config := asDeliver(t, c, namespace)
	c.Apply(t, viewer)
	as := c.As(t, namespace, "viewer")
	program := kubetest.Build(t, "./cmd/mesh-compile")
	run := func(want int, words string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append(args, "--kubeconfig", as, "--namespace", namespace)...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != want || !strings.Contains(string(out), words) {
			t.Errorf("mesh-compile %q: exit status %d, want %d and %q:\n%s", args, cmd.ProcessState.ExitCode(), want, words, out)
		}
	}
	run(0, "no release is live, 0 proxies", "fleet")
	live := makeRelease(t, c, namespace)
	r := newReplica(t, config, namespace, "mesh-deliver-c", proxy("order-1", 6), proxy("order-2", 7))
	await(t, c, namespace, map[string]int{"mesh-deliver-c-0": 2})
	run(1, "release 7 (c0ffee0c0ffe): 1 of 2 proxies; shop/order order-1 runs release 6", "wait", "--release", "c0ffee0", "--timeout", "1ms")
	run(1, "1 of 2 proxies, 1 behind", "fleet", "--fail-on", "behind")

	done := make(chan struct{})
	go func() {
		defer close(done)
		run(0, "release 7 (c0ffee0c0ffe) runs on 2 proxies", "wait", "--release", "main@sha1:"+commit)
	}()
	r.set(proxy("order-1", 7), proxy("order-2", 7))
	<-done

	live.Status.Rollout = &v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutHalted, Wave: 1, Waves: 3, Since: metav1.Now(), Message: "2 proxies failed"}
	if err := c.Client.Status().Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	run(1, "the rollout of release 7 is halted: 2 proxies failed", "wait", "--release", "7")
	if out, err := exec.CommandContext(t.Context(), program, "fleet", "--kubeconfig", as).CombinedOutput(); err == nil || !strings.Contains(string(out), "forbidden") {
		t.Errorf("in another namespace: %v\n%s", err, out)
	}
}

// makeRelease makes one as the roles do, as far as it shows.
func makeRelease(t *testing.T, c *kubetest.Cluster, namespace string) *v1alpha1.Release {
	t.Helper()
	if err := v1alpha1.AddToScheme(c.Client.Scheme()); err != nil {
		t.Fatal(err)
	}
	r := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh-1", Namespace: namespace},
		Spec: v1alpha1.ReleaseSpec{Sync: "mesh", Revision: "main@sha1:" + commit, Commit: commit,
			Content: "sha256:" + strings.Repeat("0", 64)},
	}
	if err := c.Client.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Client.Delete(context.Background(), r) })
	r.Status.Sequence = 7
	r.Status.Signature = &v1alpha1.ReleaseSignature{Envelope: []byte("{}"), Sequence: 7, Digest: "sha256:" + strings.Repeat("7", 64), Expires: metav1.Now()}
	if err := c.Client.Status().Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r); err != nil {
		t.Fatal(err)
	}
	return r
}
