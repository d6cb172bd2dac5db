// Package bench measures the control plane in a real Kubernetes.
package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/node"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	kubetest.Main(m)
}

const (
	system           = "mesh-system"
	routesPerService = 10
)

// BenchmarkAdmit is the update of one route among many, by somebody about whom the
// webhook is asked, and before by a member of the break-glass group, about whom it is
// not: what that takes is the API server's own time. The metrics are milliseconds;
// those of admit's processors hold on a busy machine.
func BenchmarkAdmit(b *testing.B) {
	c := kubetest.Start(b)
	m := install(b, c)
	for _, routes := range []int{100, 1_000, 10_000} {
		m.grow(b, routes/routesPerService)
		b.Run(fmt.Sprintf("%d-routes", routes), m.measure)
	}
}

// mesh is a cluster's, with clients whose writes the webhook is and is not asked about.
type mesh struct {
	services       int
	asked, unasked client.Client
	admit          *node.Pod
	metrics        func(b *testing.B) ([]byte, error) // of the API server
	updates        int
}

func install(b *testing.B, c *kubetest.Cluster) *mesh {
	root, err := tools.ModuleRoot()
	if err != nil {
		b.Fatal(err)
	}
	manifests := filepath.Join(root, "deploy", "quickstart")
	c.Kubectl(b, "apply", "--server-side", "-k", manifests)
	n := node.New(b, c, map[string]string{"mesh-controller": kubetest.Build(b, "./cmd/mesh-controller")})
	b.Cleanup(func() {
		c.Kubectl(b, "delete", "-k", manifests, "--wait=false", "--ignore-not-found")
	})
	admit := n.Run(b, system, "mesh-admit")
	n.Serve(b, system, "mesh-admit")
	c.Namespace(b, "bench", nil)
	server, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		b.Fatal(err)
	}
	metrics := func(b *testing.B) ([]byte, error) {
		return server.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(b.Context())
	}
	m := &mesh{admit: admit, metrics: metrics, asked: newClient(b, c.Config, ""), unasked: newClient(b, c.Config, "mesh-compile.dev:break-glass")}
	admit.Ready(b)
	return m
}

// newClient is an administrator, in one more group.
func newClient(b *testing.B, config *rest.Config, group string) client.Client {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, 0 // the measurement waits for nobody
	if group != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: "bench", Groups: []string{"system:masters", group}}
	}
	out, err := client.New(config, client.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// grow adds services, each with two workloads and a route of several rules.
func (m *mesh) grow(b *testing.B, services int) {
	var all errgroup.Group
	all.SetLimit(8)
	for ; m.services < services; m.services++ {
		for _, text := range []string{workload(m.services, "v1"), workload(m.services, "v2"), route(m.services, 50)} {
			all.Go(func() error { return m.unasked.Create(b.Context(), object(b, text)) })
		}
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
	// An unsafe route is refused for what it says of the newest service when all is known.
	kubetest.Until(b, func(ctx context.Context) error {
		unsafe := object(b, strings.Replace(route(services-1, 50), "weight: 50", "weight: 60", 1))
		err := m.asked.Patch(ctx, unsafe, client.Merge, client.DryRunAll)
		return refused(err)
	})
}

func refused(err error) error {
	switch {
	case err == nil:
		return errors.New("an unsafe route is admitted")
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || strings.Contains(err.Error(), "mesh-compile refuses"):
		return nil
	}
	return err
}

func (m *mesh) measure(b *testing.B) {
	var with, without []time.Duration
	for range 100 {
		without = append(without, m.update(b, m.unasked))
	}
	m.update(b, m.asked) // that the reviews to come begin with what is there
	used, before := m.processor(b), m.reviews(b)
	for b.Loop() {
		with = append(with, m.update(b, m.asked))
	}
	used = m.processor(b) - used
	m.reviews(b).since(before).report(b)
	b.ReportMetric(float64(used.Microseconds())/1e3/float64(len(with)), "admit-cpu-ms/op")
	for _, percent := range []int{50, 99} {
		alone, all := percentile(without, percent), percentile(with, percent)
		b.ReportMetric(alone, fmt.Sprintf("p%d-apiserver-ms", percent))
		b.ReportMetric(all-alone, fmt.Sprintf("p%d-on-top-ms", percent))
	}
}

// reviews is what the API server says of how long webhooks took: the latency that they
// add, without that of its own work and of etcd, which is many times as much.
type reviews struct {
	count   float64
	seconds float64
	within  map[string]float64 // by upper bound in seconds
}

const reviewed = "apiserver_admission_webhook_admission_duration_seconds"

func (m *mesh) reviews(b *testing.B) reviews {
	text, err := m.metrics(b)
	if err != nil {
		b.Fatal(err)
	}
	out := reviews{within: map[string]float64{}}
	for _, line := range strings.Split(string(text), "\n") {
		name, value, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(name, reviewed) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			b.Fatalf("%s: %v", line, err)
		}
		switch {
		case strings.HasPrefix(name, reviewed+"_count"):
			out.count += n
		case strings.HasPrefix(name, reviewed+"_sum"):
			out.seconds += n
		default:
			_, le, _ := strings.Cut(name, `le="`)
			le, _, _ = strings.Cut(le, `"`)
			out.within[le] += n
		}
	}
	return out
}

func (r reviews) since(before reviews) reviews {
	out := reviews{count: r.count - before.count, seconds: r.seconds - before.seconds, within: map[string]float64{}}
	for le, n := range r.within {
		out.within[le] = n - before.within[le]
	}
	return out
}

func (r reviews) report(b *testing.B) {
	if r.count == 0 {
		b.Fatal("the API server asked no webhook")
	}
	b.ReportMetric(r.seconds*1e3/r.count, "mean-review-ms")
	b.ReportMetric(100*r.within["0.005"]/r.count, "%-within-5ms")
	b.ReportMetric(100*r.within["0.025"]/r.count, "%-within-25ms")
}

// processor is the time that processors worked for admit: utime and stime of
// proc_pid_stat(5), which Linux counts in hundredths of a second.
func (m *mesh) processor(b *testing.B) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.admit.Process.Pid()))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the third on
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// update changes the weights of one route.
func (m *mesh) update(b *testing.B, c client.Client) time.Duration {
	m.updates++
	o := object(b, route(m.updates*37%m.services, 1+m.updates%98))
	patch, err := o.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := c.Patch(b.Context(), o, client.RawPatch(types.MergePatchType, patch)); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func percentile(took []time.Duration, percent int) float64 {
	slices.Sort(took)
	return float64(took[len(took)*percent/100].Microseconds()) / 1e3
}

func object(b *testing.B, text string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		b.Fatal(err)
	}
	return o
}

func workload(i int, version string) string {
	return fmt.Sprintf(`apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: s%04[1]d-%[2]s, namespace: bench}
spec:
  service: s%04[1]d
  version: %[2]s
  ports: [{name: http, port: 8080, protocol: http}]
  endpoints: [{address: 10.%[3]d.%[4]d.1}]
`, i, version, i/250, i%250)
}

func route(i, weight int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: s%04d, namespace: bench}\nspec:\n  service: s%04d\n  rules:\n", i, i)
	for r := range routesPerService - 1 {
		fmt.Fprintf(&b, `  - name: route-%[1]d
    match: [{path: {prefix: /api/%[1]d}, methods: [GET]}]
    timeout: 800ms
    retry: {attempts: 2, perTryTimeout: 300ms, conditions: [connect-failure]}
    to: [{version: v1, weight: %[2]d}, {version: v2, weight: %[3]d}]
`, r, weight, 100-weight)
	}
	b.WriteString("  - name: rest\n    to: [{version: v1}]\n")
	return b.String()
}
