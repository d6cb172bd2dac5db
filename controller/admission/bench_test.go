package admission_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// routesPerService is what the sizes below are made of.
const routesPerService = 10

// dialects are ways to write the same mesh in a cluster: a service with two
// versions, its routes, who may call it, and the five services that it uses.
var dialects = map[string]func(i, services, weight int) (others []string, route string){
	"native": nativeService,
	"istio":  istioService,
}

func nativeService(i, services, weight int) (others []string, route string) {
	var uses []string
	for k := range min(5, services) {
		uses = append(uses, fmt.Sprintf("{service: s%04d}", (i+k)%services))
	}
	for v, version := range []string{"v1", "v2"} {
		others = append(others, fmt.Sprintf(`
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: s%04d-%s, namespace: bench}
spec:
  service: s%04d
  version: %s
  serviceAccount: s%04d
  ports: [{name: http, port: 8080, protocol: http}]
  endpoints: [{address: 10.%d.%d.%d}]
  uses: [%s]
`, i, version, i, version, i, i/250, i%250, v+1, strings.Join(uses, ", ")))
	}
	others = append(others, fmt.Sprintf(`
apiVersion: mesh-compile.dev/v1alpha1
kind: AccessPolicy
metadata: {name: s%04d, namespace: bench}
spec:
  service: s%04d
  allow:
  - name: callers
    from: {serviceAccounts: [{name: s%04d}]}
    to: {methods: [GET], paths: [{prefix: /api}]}
`, i, i, (i+1)%services))
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: s%04d, namespace: bench}\nspec:\n  service: s%04d\n  rules:\n", i, i)
	for r := range routesPerService - 1 {
		fmt.Fprintf(&b, `  - name: route-%d
    match: [{path: {prefix: /api/%d}, methods: [GET]}]
    timeout: 800ms
    retry: {attempts: 2, perTryTimeout: 300ms, conditions: [connect-failure, reset], statuses: [503]}
    to: [{version: v1, weight: %d}, {version: v2, weight: %d}]
`, r, r, weight, 100-weight)
	}
	b.WriteString("  - name: rest\n    to: [{version: v1}]\n")
	return others, b.String()
}

func istioService(i, services, weight int) (others []string, route string) {
	for _, version := range []string{"v1", "v2"} {
		others = append(others, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: s%04d-%s, namespace: bench}
spec:
  selector: {matchLabels: {app: s%04d, version: %s}}
  template:
    metadata: {labels: {app: s%04d, version: %s}}
    spec:
      serviceAccountName: s%04d
      containers: [{name: app, image: app, ports: [{name: http, containerPort: 8080}]}]
`, i, version, i, version, i, version, i))
	}
	others = append(others, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: s%04d, namespace: bench}
spec:
  selector: {app: s%04d}
  ports: [{name: http, port: 8080}]
`, i, i), fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: s%04d, namespace: bench}
spec:
  host: s%04d
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
`, i, i), fmt.Sprintf(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: s%04d, namespace: bench}
spec:
  selector: {matchLabels: {app: s%04d}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/bench/sa/s%04d]}}]
    to: [{operation: {methods: [GET], paths: [/api/*]}}]
`, i, i, (i+1)%services))
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: s%04d, namespace: bench}\nspec:\n  hosts: [s%04d]\n  http:\n", i, i)
	for r := range routesPerService - 1 {
		fmt.Fprintf(&b, `  - name: route-%[1]d
    match: [{uri: {prefix: /api/%[1]d/}, method: {exact: GET}}]
    timeout: 800ms
    retries: {attempts: 2, perTryTimeout: 300ms, retryOn: "connect-failure,reset,503"}
    route:
    - {destination: {host: s%04[2]d, subset: v1}, weight: %[3]d}
    - {destination: {host: s%04[2]d, subset: v2}, weight: %[4]d}
`, r, i, weight, 100-weight)
	}
	fmt.Fprintf(&b, "  - name: rest\n    route: [{destination: {host: s%04d, subset: v1}}]\n", i)
	return others, b.String()
}

// BenchmarkReview is an update of one route among many: in dry run, which leaves
// everything as it was, and admitted and then shown by the informers, so that each
// review has another base. The metrics are milliseconds of one review; those of the
// processors hold on a busy machine, and the collector's work is among them.
func BenchmarkReview(b *testing.B) {
	for dialect, write := range dialects {
		for _, routes := range []int{100, 1_000, 10_000} {
			c := newCluster(b, write, routes/routesPerService)
			b.Run(fmt.Sprintf("%s/dry-run/%d-routes", dialect, routes), func(b *testing.B) { c.review(b, true) })
			b.Run(fmt.Sprintf("%s/admitted/%d-routes", dialect, routes), func(b *testing.B) { c.review(b, false) })
		}
	}
}

// cluster is the objects of one, and updates of its routes.
type cluster struct {
	set     *objects.Set
	updates []admission.Request
	data    [][]byte
}

func newCluster(b testing.TB, write func(i, services, weight int) ([]string, string), services int) *cluster {
	c := &cluster{set: objects.NewSet()}
	add := func(text string) { c.set = c.set.With(named(b, text)) }
	for i := range services {
		others, route := write(i, services, 90)
		for _, text := range append(others, route) {
			add(text)
		}
	}
	for n := range 128 { // each route twice, with other weights
		_, route := write((n%64*37+3)%services, services, 10+n/2)
		req := request(b, admission.Update, route)
		_, data := named(b, route)
		c.updates, c.data = append(c.updates, req), append(c.data, data)
	}
	return c
}

func named(tb testing.TB, text string) (string, []byte) {
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		tb.Fatal(err)
	}
	data, err := objects.Render(u)
	if err != nil {
		tb.Fatal(err)
	}
	return objects.PathOf(u), data
}

func (c *cluster) review(b *testing.B, dryRun bool) {
	set := c.set
	r := admission.New(admission.Options{Base: func() *objects.Set { return set }, Timeout: time.Minute})
	if _, err := r.All(b.Context()); err != nil { // compiles everything
		b.Fatal(err)
	}
	var took []time.Duration
	used := processor(b)
	for n := 0; b.Loop(); n++ {
		req := c.updates[n%len(c.updates)]
		req.DryRun = dryRun
		start := time.Now()
		v, err := r.Review(b.Context(), req)
		took = append(took, time.Since(start))
		if err != nil || !v.Allowed {
			b.Fatalf("allowed %t: %s %v", v.Allowed, v.Message, err)
		}
		if !dryRun {
			set = set.With(path(req), c.data[n%len(c.data)])
		}
	}
	used = processor(b) - used
	slices.Sort(took)
	b.ReportMetric(float64(used.Microseconds())/1e3/float64(len(took)), "cpu-ms/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1e3, "p99-ms")
}

// processor is the time that processors worked for this process.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
