package compiler

import (
	"fmt"
	"runtime"
	"sync"

	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/authz"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
)

// unit is everything of a release that belongs to one workload, encoded. It is
// kept by the workload's pointer and by the lists that its slice is made of.
type unit struct {
	slice       xds.Slice
	lists       []*artifact.List
	bundle      []byte // nil without one
	constraints []byte
	policy      []byte
}

// generate makes the slices of all workloads, in parallel: a workload's does not
// depend on another's, and the generator shares what they have in common.
func (r *run) generate() {
	r.out.generator = xds.NewGenerator(r.out.Mesh, r.prev.generator)
	r.out.access = newAccessTable(r.prev.access, r.out.Mesh.Settings())
	workloads := r.out.Mesh.Workloads()
	units := make([]*unit, len(workloads))
	errs := make([]error, len(workloads))
	lists := newListTable(r.prev.lists)
	parallel(len(workloads), func(i int) {
		units[i], errs[i] = r.unit(workloads[i], lists)
	})
	r.out.units = make(map[*check.Workload]*unit, len(workloads))
	for i, w := range workloads {
		if errs[i] != nil {
			r.fail(fmt.Errorf("generating %s: %w", w.Key(), errs[i]))
			return
		}
		r.out.units[w] = units[i]
	}
	r.out.lists = lists.used()
	if err := r.out.access.err(); err != nil {
		r.fail(err)
	}
}

func parallel(n int, do func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func (r *run) unit(w *check.Workload, lists *listTable) (*unit, error) {
	slice, err := r.out.generator.Build(w, r.out.access.port)
	if err != nil {
		return nil, err
	}
	if old := r.prev.units[w]; old != nil && old.slice == slice {
		for i, l := range slice.Lists() {
			lists.keep(l, old.lists[i])
		}
		return old, nil
	}
	u := &unit{slice: slice}
	for _, l := range slice.Lists() {
		encoded, err := lists.of(l)
		if err != nil {
			return nil, err
		}
		u.lists = append(u.lists, encoded)
	}
	return u, r.facts(w, u)
}

// facts encodes what the agent needs besides xDS.
func (r *run) facts(w *check.Workload, u *unit) (err error) {
	backends, err := r.out.generator.Backends(w)
	if err != nil {
		return err
	}
	if u.constraints, err = constraints(r.out.Mesh.Settings(), backends).Encode(); err != nil {
		return err
	}
	if u.policy, err = agentPolicy(w).Encode(); err != nil {
		return err
	}
	if w.Engine == mesh.EngineOPA {
		u.bundle, err = authz.Bundle(r.out.Mesh, w)
	}
	return err
}

// constraints bound the endpoints that a controller may send for a workload.
func constraints(s *check.Settings, backends []*check.Backend) artifact.Constraints {
	c := artifact.Constraints{EndpointCIDRs: s.EndpointCIDRs}
	for _, b := range backends {
		if b.DNS {
			continue // the addresses are Envoy's to resolve, from the signed name
		}
		c.Clusters = append(c.Clusters, artifact.ClusterConstraint{
			Name: xds.ClusterName(b), Ports: targetPorts(b), SANs: b.Identities, MTLS: b.TLS == check.TLSMesh,
		})
	}
	return c
}

// targetPorts are the ports on which a backend's workloads listen.
func targetPorts(b *check.Backend) []uint32 {
	var ports []uint32
	for _, w := range b.Workloads {
		for _, in := range w.Inbound {
			for _, p := range in.Services {
				if p.Service.Key() == b.Port.Service.Key() && p.Number == b.Port.Number {
					ports = append(ports, in.Port)
				}
			}
		}
	}
	for _, e := range b.Static {
		if e.Port != 0 {
			ports = append(ports, e.Port)
		}
	}
	if len(ports) == 0 {
		ports = append(ports, b.Port.Number)
	}
	return ports
}

func agentPolicy(w *check.Workload) artifact.AgentPolicy {
	p := artifact.AgentPolicy{
		Engine: string(w.Engine), Capture: string(w.Capture),
		Outbound: []artifact.OutboundPort{{
			Port: xds.OutboundPort, Protocol: string(mesh.HTTP), Listener: xds.OutboundListener,
		}},
	}
	for _, in := range w.Inbound {
		p.Inbound = append(p.Inbound, artifact.InboundPort{
			Port: in.Port, Protocol: string(in.Protocol), Cluster: xds.InboundClusterName(in.Port),
		})
	}
	return p
}

// accessTable makes the filters of each inbound port once, so that an unchanged
// port keeps the very same messages and its listener is not built again.
type accessTable struct {
	mu       sync.Mutex
	settings *check.Settings
	old      map[*check.Inbound]xds.PortAccess
	ports    map[*check.Inbound]xds.PortAccess
	failed   error
}

func newAccessTable(prev *accessTable, s *check.Settings) *accessTable {
	t := &accessTable{settings: s, ports: map[*check.Inbound]xds.PortAccess{}}
	if prev != nil && prev.settings.TrustDomain == s.TrustDomain {
		t.old = prev.ports
	}
	return t
}

func (t *accessTable) err() error { return t.failed }

func (t *accessTable) port(w *check.Workload, in *check.Inbound) xds.PortAccess {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a, ok := t.ports[in]; ok {
		return a
	}
	a, ok := t.old[in]
	if !ok {
		a = t.make(w, in)
	}
	t.ports[in] = a
	return a
}

// make enforces in RBAC, or asks the agent where the workload's engine is OPA.
// Denials stay in RBAC as well: two must agree before a request passes.
func (t *accessTable) make(w *check.Workload, in *check.Inbound) xds.PortAccess {
	rbac, err := authz.ForInbound(t.settings, in)
	if err != nil && t.failed == nil {
		t.failed = fmt.Errorf("access of %s on port %d: %w", w.Key(), in.Port, err)
	}
	filters := []*rbacconfigv3.RBAC{rbac.Audit, rbac.Deny, rbac.Allow}
	if w.Engine == mesh.EngineOPA {
		filters[2] = nil // who may is OPA's to say
	}
	a := xds.PortAccess{ExtAuthz: w.Engine == mesh.EngineOPA}
	for _, f := range filters {
		switch {
		case f == nil:
		case in.Protocol.IsHTTP():
			a.HTTP = append(a.HTTP, &rbacv3.RBAC{Rules: f, RulesStatPrefix: statPrefix(f)})
		default:
			a.Network = append(a.Network, &networkrbacv3.RBAC{Rules: f, StatPrefix: statPrefix(f)})
		}
	}
	return a
}

func statPrefix(f *rbacconfigv3.RBAC) string {
	switch f.Action {
	case rbacconfigv3.RBAC_DENY:
		return "deny_"
	case rbacconfigv3.RBAC_LOG:
		return "audit_"
	}
	return "allow_"
}

// listTable encodes and digests each shared list once, whatever the number of
// workloads and of runs that share it.
type listTable struct {
	mu   sync.Mutex
	old  map[*xds.List]*artifact.List
	here map[*xds.List]*artifact.List
}

func newListTable(old map[*xds.List]*artifact.List) *listTable {
	return &listTable{old: old, here: map[*xds.List]*artifact.List{}}
}

func (t *listTable) used() map[*xds.List]*artifact.List { return t.here }

func (t *listTable) keep(l *xds.List, encoded *artifact.List) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.here[l] = encoded
}

func (t *listTable) of(l *xds.List) (*artifact.List, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if encoded, ok := t.here[l]; ok {
		return encoded, nil
	}
	if encoded, ok := t.old[l]; ok {
		t.here[l] = encoded
		return encoded, nil
	}
	resources := make([]artifact.Resource, len(l.Resources))
	for i, r := range l.Resources {
		resources[i] = artifact.NewResource(r.Type, r.Name, r.Bytes)
	}
	encoded, err := artifact.NewList(resources)
	t.here[l] = encoded
	return encoded, err
}
