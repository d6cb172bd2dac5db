// Package meshtest runs a checked mesh on real Envoys and asks it what the
// evaluator was asked.
//
// In: a checked mesh, the workloads that take part, requests. Out: what was
// observed of each request, from the caller's answer, the access logs of both
// proxies and what the application received; and how that differs from the
// evaluator's result.
//
// Every workload that takes part has an Envoy with its own slice, made static,
// and an Echo for its application. Requests leave through the caller's explicit
// outbound proxy and enter through the callee's inbound listener; nothing is
// bypassed. All proxies run under capture none, also those that the policy
// captures: who redirects connections in a cluster is not part of a slice.
package meshtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// atOnce bounds how many Envoys start at the same time: each takes a core.
const atOnce = 2

// startTimeout bounds the start of one Envoy, on a busy machine.
const startTimeout = time.Minute

// Mesh is a mesh that runs.
type Mesh struct {
	mesh      *check.Mesh
	engine    mesh.Engine
	ca        *authority
	slices    func(*check.Workload) (xds.Slice, error)
	instances map[string][]*instance    // by workload
	outside   map[string]*outside       // by cluster: destinations without a proxy of ours
	backends  map[string]*check.Backend // by cluster
	outsiders map[string]string         // addresses that stand outside, by service
	serial    serial
	files     files
}

// Options of a mesh that runs.
type Options struct {
	// Engine that decides all access; "" leaves each workload its own.
	Engine mesh.Engine
	// Outside are real programs for services without a workload, "ip:port" by
	// "namespace/name"; every other one is an Echo.
	Outside map[string]string
}

// Start runs the proxies of the named workloads ("namespace/name"), one for each
// endpoint that policy writes and at least one.
func Start(ctx context.Context, m *check.Mesh, workloads ...string) (*Mesh, error) {
	return StartWith(ctx, "", m, workloads...)
}

// StartWith is Start with all access decided by one engine, whatever the workloads
// say; "" leaves each its own.
func StartWith(ctx context.Context, engine mesh.Engine, m *check.Mesh, workloads ...string) (*Mesh, error) {
	return StartAs(ctx, Options{Engine: engine}, m, workloads...)
}

// StartAs is Start with options.
func StartAs(ctx context.Context, o Options, m *check.Mesh, workloads ...string) (*Mesh, error) {
	if !envoytest.DistinctLoopback {
		return nil, errors.New("running a mesh: this platform has one loopback address, and every workload needs its own")
	}
	ca, err := newAuthority(m.Settings().TrustDomain)
	if err != nil {
		return nil, err
	}
	out := &Mesh{mesh: m, engine: o.Engine, outsiders: o.Outside, ca: ca, slices: compiler.Slices(m), instances: map[string][]*instance{},
		outside: map[string]*outside{}, backends: backendsOf(m)}
	if err := out.start(ctx, workloads); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// Close ends all Envoys and applications.
func (m *Mesh) Close() {
	var all sync.WaitGroup
	for _, i := range m.all() {
		all.Go(i.close)
	}
	all.Wait()
	for _, o := range m.outside {
		if o.echo != nil {
			o.echo.Close()
		}
	}
}

func (m *Mesh) all() []*instance {
	var out []*instance
	for _, key := range slices.Sorted(maps.Keys(m.instances)) {
		out = append(out, m.instances[key]...)
	}
	return out
}

// start makes all addresses before the first bootstrap, which names them.
func (m *Mesh) start(ctx context.Context, workloads []string) error {
	for _, key := range slices.Compact(slices.Sorted(slices.Values(workloads))) {
		w := m.mesh.Workload(key)
		if w == nil {
			return fmt.Errorf("starting workload %q: the mesh has none of this name", key)
		}
		for k := range max(1, len(w.Endpoints)) {
			i, err := newInstance(m.asItRuns(w))
			if err != nil {
				return fmt.Errorf("starting workload %s: %w", key, err)
			}
			i.place = placeOf(w, k)
			m.instances[key] = append(m.instances[key], i)
		}
	}
	if err := m.startOutside(); err != nil {
		return err
	}
	return m.startEnvoys(ctx)
}

func (m *Mesh) startEnvoys(ctx context.Context) error {
	all := m.all()
	errs := make([]error, len(all))
	slots := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for n, i := range all {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if errs[n] = m.startEnvoy(ctx, i); errs[n] != nil {
				errs[n] = fmt.Errorf("starting the proxy of %s: %w", i.workload.Key(), errs[n])
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// TakingPart returns the workloads that results of the evaluator are about:
// callers, and everything behind their destinations.
func TakingPart(results ...*reach.Result) []string {
	keys := map[string]bool{}
	add := func(b *check.Backend) {
		for _, w := range b.Workloads {
			keys[w.Key()] = true
		}
	}
	for _, r := range results {
		if r.Caller != nil {
			keys[r.Caller.Key()] = true
		}
		for _, d := range r.Route.Destinations {
			add(d.Backend)
		}
		for _, mirror := range r.Route.Mirrors {
			add(mirror.Backend)
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// Echoes returns the applications behind a workload, one for each instance.
func (m *Mesh) Echoes(workload string) []*envoytest.Echo {
	var out []*envoytest.Echo
	for _, i := range m.instances[workload] {
		out = append(out, i.echo)
	}
	return out
}

// Outbound is where the applications of a workload's first instance send requests.
func (m *Mesh) Outbound(workload string) string { return m.instances[workload][0].outbound }

// Envoys returns the proxies of a workload, in the order of Echoes.
func (m *Mesh) Envoys(workload string) []*envoytest.Envoy {
	var out []*envoytest.Envoy
	for _, i := range m.instances[workload] {
		out = append(out, i.envoy)
	}
	return out
}

// backendsOf are all backends by the name of their cluster.
func backendsOf(m *check.Mesh) map[string]*check.Backend {
	out := map[string]*check.Backend{}
	for _, s := range m.Services() {
		for _, p := range s.Ports {
			for _, b := range p.Backends {
				out[xds.ClusterName(b)] = b
			}
		}
	}
	return out
}

// placeOf is where the endpoint of an instance is by policy.
func placeOf(w *check.Workload, k int) locality.Place {
	where := w.Locality
	if k < len(w.Endpoints) {
		where = cmp.Or(w.Endpoints[k].Locality, where)
	}
	out, _ := locality.Parse(where)
	return out
}

// asItRuns is the workload as it runs here.
func (m *Mesh) asItRuns(w *check.Workload) *check.Workload {
	out := *w
	out.Capture = mesh.CaptureNone
	out.Engine = cmp.Or(m.engine, w.Engine)
	return &out
}
