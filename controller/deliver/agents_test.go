package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/stats"

	"crypto/tls"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

// publisher compiles and signs a mesh of services, each with a workload that uses
// five of them.
type publisher struct {
	files    fstest.MapFS
	keys     *sign.Keys
	result   *compiler.Result
	sequence uint64
	services int
}

func newPublisher(t testing.TB, services int) *publisher {
	t.Helper()
	keys, err := sign.Keygen(sign.KeygenOptions{MeshID: "shop", TrustDomain: "shop.example", ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{keys: keys, services: services, files: fstest.MapFS{"mesh.yaml": {Data: []byte(`apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec: {trustDomain: shop.example, capture: none}
`)}}}
	for i := range services {
		p.write(i, 1)
	}
	return p
}

func serviceName(i int) string { return fmt.Sprintf("s%04d", i) }

// write writes a service's file; seconds is the timeout of its route.
func (p *publisher) write(i, seconds int) {
	var uses []string
	for k := range 5 {
		uses = append(uses, "{service: "+serviceName((i+k)%p.services)+"}")
	}
	name := serviceName(i)
	p.files[name+".yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, `apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: %[1]s, namespace: shop}
spec:
  service: %[1]s
  serviceAccount: %[1]s
  ports: [{name: http, port: 8080, protocol: http}]
  endpoints: [{address: 10.%[2]d.%[3]d.1}]
  uses: [%[4]s]
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: %[1]s, namespace: shop}
spec:
  service: %[1]s
  rules: [{name: all, timeout: %[5]ds}]
`, name, i/250, i%250, strings.Join(uses, ", "), seconds)}
}

func (p *publisher) release(t testing.TB) *artifact.Release {
	t.Helper()
	result, diags := compiler.Compile(p.files, compiler.Options{Previous: p.result})
	if result.Release == nil {
		t.Fatalf("no release: %v", diags[0].Message)
	}
	p.result = result
	p.sequence++
	doc := sign.Describe(result.Release)
	now := time.Now().Truncate(time.Second)
	doc.MeshID, doc.Sequence, doc.Trust.TrustDomain = "shop", p.sequence, "shop.example"
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.At(now), sign.At(now), sign.At(now.Add(time.Hour))
	envelope, err := sign.SignRelease(doc, p.keys.Release)
	if err != nil {
		t.Fatal(err)
	}
	return result.Release.WithEnvelope(envelope)
}

// concerned are the workloads whose leaf differs between two releases.
func concerned(before, after *artifact.Release) map[string]bool {
	out := map[string]bool{}
	for _, l := range after.Leaves() {
		if old, _, ok := before.Lookup(l.Key()); !ok || old != l {
			out[l.Workload] = true
		}
	}
	return out
}

// simulated is an agent as far as the controller sees one: its own connection, and
// what it has verified.
type simulated struct {
	workload string
	client   deliveryv1.DeliveryClient
	blobs    map[artifact.Digest][]byte
	leaf     string
	clusters []string
	fetched  int // since the last update

	received atomic.Int64 // bytes of messages
	done     chan arrival
}

// arrival is an update that is complete.
type arrival struct {
	*simulated
	envelope string
	at       time.Time
	fetched  int
	err      error
}

// TagRPC and the others implement stats.Handler.
func (a *simulated) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (a *simulated) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}
func (a *simulated) HandleConn(context.Context, stats.ConnStats) {}
func (a *simulated) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		a.received.Add(int64(in.WireLength))
	}
}

// connect opens one agent's connection, with its identity.
func (h *harness) connect(t testing.TB, account string, done chan arrival) *simulated {
	t.Helper()
	a := &simulated{workload: "shop/" + account, blobs: map[artifact.Digest][]byte{}, done: done}
	conn, err := grpc.NewClient(h.addr, grpc.WithStatsHandler(a), grpc.WithDefaultCallOptions(maxBlobMessage()),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, RootCAs: h.pool(), Certificates: []tls.Certificate{h.certificate(t, account, time.Hour)},
		})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	a.client = deliveryv1.NewDeliveryClient(conn)
	return a
}

// run watches releases and endpoints, and fetches what is missing, until ctx ends.
func (a *simulated) run(ctx context.Context) {
	err := a.watch(ctx)
	if ctx.Err() == nil {
		a.done <- arrival{simulated: a, err: err}
	}
}

func (a *simulated) watch(ctx context.Context) error {
	ends, err := a.client.WatchEndpoints(ctx)
	if err != nil {
		return err
	}
	go func() {
		for {
			if _, err := ends.Recv(); err != nil {
				return
			}
		}
	}()
	stream, err := a.client.Watch(ctx, &deliveryv1.WatchRequest{Workload: a.workload})
	if err != nil {
		return err
	}
	for {
		u, err := stream.Recv()
		if err != nil {
			return err
		}
		a.fetched = 0
		if leaf := string(u.GetLeaf()); leaf != a.leaf {
			if err := a.take(ctx, u); err != nil {
				return err
			}
			if err := ends.Send(&deliveryv1.EndpointsRequest{Workload: a.workload, Clusters: a.clusters}); err != nil {
				return err
			}
			a.leaf = leaf
		}
		a.done <- arrival{a, string(u.GetEnvelope()), time.Now(), a.fetched, nil}
	}
}

// take fetches what the update's leaf needs, in waves.
func (a *simulated) take(ctx context.Context, u *deliveryv1.Update) error {
	leaf, err := artifact.DecodeLeaf(u.GetLeaf())
	if err != nil {
		return err
	}
	source := func(d artifact.Digest) ([]byte, bool) { data, ok := a.blobs[d]; return data, ok }
	for {
		need, err := artifact.Missing(leaf, source)
		if err != nil {
			return err
		}
		if len(need) == 0 {
			break
		}
		if err := a.fetch(ctx, need); err != nil {
			return err
		}
	}
	content, err := artifact.Load(leaf, source)
	if err != nil {
		return err
	}
	a.clusters = nil
	for _, c := range content.Constraints.Clusters {
		a.clusters = append(a.clusters, c.Name)
	}
	return nil
}

func (a *simulated) fetch(ctx context.Context, need []artifact.Digest) error {
	r := &deliveryv1.FetchRequest{}
	for _, d := range need {
		r.Digests = append(r.Digests, d[:])
	}
	stream, err := a.client.Fetch(ctx, r)
	if err != nil {
		return err
	}
	for {
		b, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a.blobs[artifact.DigestOf(b.GetContent())] = b.GetContent()
		a.fetched++
	}
}

// fleetOf connects an agent for every workload and waits until all have the release.
func fleetOf(t testing.TB, h *harness, r *artifact.Release) ([]*simulated, chan arrival) {
	t.Helper()
	done := make(chan arrival, len(r.Leaves()))
	var all []*simulated
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, l := range r.Leaves() {
		a := h.connect(t, strings.TrimPrefix(l.Workload, "shop/"), done)
		all = append(all, a)
		running.Go(func() { a.run(ctx) })
	}
	arrivals(t, done, len(all), r)
	return all, done
}

// arrivals waits until n agents have a release.
func arrivals(t testing.TB, done chan arrival, n int, r *artifact.Release) []arrival {
	t.Helper()
	var out []arrival
	late := time.After(2 * deadline)
	for range n {
		select {
		case a := <-done:
			if a.err != nil {
				t.Fatalf("%s: %v", a.workload, a.err)
			}
			if a.envelope != string(r.Envelope()) {
				t.Fatalf("%s has another release", a.workload)
			}
			out = append(out, a)
		case <-late:
			t.Fatalf("%d of %d agents have the release", len(out), n)
		}
	}
	return out
}

// change publishes one changed route and measures who gets what.
type change struct {
	touched   int
	slowest   time.Duration // until an agent that it concerns has everything
	slowestOf time.Duration // of all agents
	bytes     int64         // most that an agent got which it does not concern
}

func (p *publisher) change(t testing.TB, h *harness, agents []*simulated, done chan arrival, before *artifact.Release, seconds int) (change, *artifact.Release) {
	t.Helper()
	p.write(3, seconds)
	after := p.release(t)
	touched := concerned(before, after)
	for _, a := range agents {
		a.received.Store(0)
	}
	runtime.GC() // what the compiler leaves is no cost of delivery
	began := time.Now()
	h.publish(t, after)
	out := change{touched: len(touched)}
	for _, a := range arrivals(t, done, len(agents), after) {
		took := a.at.Sub(began)
		out.slowestOf = max(out.slowestOf, took)
		if touched[a.workload] {
			out.slowest = max(out.slowest, took)
			if a.fetched == 0 {
				t.Errorf("%s fetched nothing of the change", a.workload)
			}
			continue
		}
		if a.fetched > 0 {
			t.Errorf("%s fetched %d blobs of a change that does not concern it", a.workload, a.fetched)
		}
		out.bytes = max(out.bytes, a.received.Load())
	}
	return out, after
}

// most is how many bytes an agent may get that a change does not concern: the
// envelope, its leaf, and a proof of one hash for each level of the tree.
func most(r *artifact.Release) int64 {
	levels := 1
	for n := len(r.Leaves()); n > 1; n = (n + 1) / 2 {
		levels++
	}
	leaf := 0
	for _, l := range r.Leaves() {
		leaf = max(leaf, len(l.Encode()))
	}
	return int64(len(r.Envelope()) + leaf + levels*34 + 32)
}

// TestOneRoute: one changed route of a hundred workloads reaches those whose slice
// has it; the others receive the new envelope, leaf and proof, and nothing else.
func TestOneRoute(t *testing.T) {
	h := start(t)
	p := newPublisher(t, 100)
	first := p.release(t)
	h.publish(t, first)
	agents, done := fleetOf(t, h, first)
	got, second := p.change(t, h, agents, done, first, 2)
	if got.touched != 5 {
		t.Errorf("the change concerns %d workloads, want the 5 that use the service", got.touched)
	}
	if limit := most(second); got.bytes == 0 || got.bytes > limit {
		t.Errorf("an agent that it does not concern received %d bytes, at most %d are needed", got.bytes, limit)
	}
	t.Logf("%+v", got)
}

// BenchmarkOneRoute is the time from publishing one changed route of a mesh of a
// thousand workloads, each with an agent on a TLS connection of its own, until the
// agents that it concerns have all of it.
func BenchmarkOneRoute(b *testing.B) {
	const workloads = 1000
	h := start(b)
	p := newPublisher(b, workloads)
	now := p.release(b)
	h.publish(b, now)
	agents, done := fleetOf(b, h, now)
	var worst change
	var slowest []time.Duration
	seconds := 1
	for b.Loop() {
		b.StopTimer()
		seconds++
		var got change
		got, now = p.change(b, h, agents, done, now, seconds)
		b.StartTimer()
		slowest = append(slowest, got.slowest)
		worst.slowestOf, worst.bytes = max(worst.slowestOf, got.slowestOf), max(worst.bytes, got.bytes)
	}
	last := slices.Max(slowest)
	if last > 500*time.Millisecond {
		b.Errorf("agents had the change after %s, want 500ms", last)
	}
	if limit := most(now); worst.bytes > limit {
		b.Errorf("an agent that it does not concern received %d bytes, at most %d are needed", worst.bytes, limit)
	}
	b.Log(slowest)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(last.Microseconds())/1000, "ms-concerned")
	b.ReportMetric(float64(worst.slowestOf.Microseconds())/1000, "ms-all")
	b.ReportMetric(float64(worst.bytes), "bytes-others")
}

var _ = endpoints.NewTable
