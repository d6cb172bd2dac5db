package xds

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/memo"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Generator makes slices. What is the same for several workloads is made once:
// a cluster for each backend, the routes of a port for each class of clients,
// route configurations and outbound listeners for each scope. Build may be called
// concurrently.
type Generator struct {
	settings *check.Settings
	services map[*check.Service]serviceInfo
	callers  map[portID]callers
	nextID   uint64

	uses      *memo.Table[usesKey, *usesInfo]
	routes    *memo.Table[routesKey, []byte]
	clusters  *memo.Table[*check.Backend, Resource]
	outbound  *memo.Table[string, Resource]
	scopes    *memo.Table[string, *scope]
	inbound   *memo.Table[string, *List]
	mu        sync.Mutex
	telemetry map[*check.Telemetry]uint64 // ids of these very values
	listeners map[string]listenerSet      // by workload
	gateways  map[string]*gatewaySet      // by workload
}

// NewGenerator returns a generator for m. What did not change since the previous
// one, which may be nil, is taken from it; the bytes are the same without it.
func NewGenerator(m *check.Mesh, previous *Generator) *Generator {
	if previous == nil || !reflect.DeepEqual(previous.settings, m.Settings()) {
		previous = &Generator{}
	}
	g := &Generator{
		settings: m.Settings(),
		services: make(map[*check.Service]serviceInfo, len(m.Services())),
		callers:  describeCallers(m),
		nextID:   previous.nextID,
		uses:     memo.New[usesKey, *usesInfo](nil), // its keys are this mesh's
		routes:   memo.New(previous.routes),
		clusters: memo.New(previous.clusters),
		outbound: memo.New(previous.outbound),
		scopes:   memo.New(previous.scopes),
		inbound:  memo.New(previous.inbound),
	}
	g.listeners = previous.takeListeners(m)
	g.gateways = previous.takeGateways(m)
	g.numberTelemetry(m, previous)
	for _, s := range m.Services() {
		info, ok := previous.services[s]
		if !ok {
			g.nextID++
			info = describe(s, g.nextID)
		}
		g.services[s] = info
	}
	return g
}

// Build returns the slice of a workload of the generator's mesh.
func (g *Generator) Build(w *check.Workload, access Access) (Slice, error) {
	slice, err := g.build(w, access)
	if err != nil {
		return Slice{}, fmt.Errorf("building the slice of %s: %w", w.Key(), err)
	}
	return slice, nil
}

func (g *Generator) build(w *check.Workload, access Access) (Slice, error) {
	scope, err := g.scope(w)
	if err != nil {
		return Slice{}, err
	}
	gateway, err := g.gateway(w, scope)
	if err != nil {
		return Slice{}, err
	}
	listeners, err := g.listenersOf(w, scope.listener, gateway, access)
	if err != nil {
		return Slice{}, err
	}
	inbound, err := g.inboundClusters(w)
	out := Slice{Listeners: listeners, Routes: scope.routes, Clusters: scope.clusters, Inbound: inbound}
	if gateway != nil {
		out.Gateway = gateway.list
	}
	return out, err
}

// Backends returns what the outbound clusters of a workload's slice stand for, by
// cluster name. Workloads of one scope share the list.
func (g *Generator) Backends(w *check.Workload) ([]*check.Backend, error) {
	scope, err := g.scope(w)
	if err != nil {
		return nil, fmt.Errorf("listing the backends of %s: %w", w.Key(), err)
	}
	gateway, err := g.gateway(w, scope)
	if gateway != nil {
		return gateway.backends, nil
	}
	return scope.backends, err
}

// listenerSet is a workload's listeners and what they were made from.
type listenerSet struct {
	capture  mesh.Capture
	ports    []inboundPort
	outbound *byte // the first byte of the outbound listener's
	gateway  *gatewaySet
	tells    *check.Telemetry
	list     *List
}

func (s *listenerSet) madeFrom(other *listenerSet) bool {
	return s.capture == other.capture && s.outbound == other.outbound && s.gateway == other.gateway && s.tells == other.tells &&
		slices.EqualFunc(s.ports, other.ports, inboundPort.equal)
}

// takeListeners returns the listeners of workloads that m still has.
func (g *Generator) takeListeners(m *check.Mesh) map[string]listenerSet {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]listenerSet, len(m.Workloads()))
	for key, set := range g.listeners {
		if m.Workload(key) != nil {
			out[key] = set
		}
	}
	return out
}

func (g *Generator) takeGateways(m *check.Mesh) map[string]*gatewaySet {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]*gatewaySet{}
	for key, set := range g.gateways {
		if m.Workload(key) != nil {
			out[key] = set
		}
	}
	return out
}

// listenersOf are the scope's outbound listener, the workload's inbound ones, and
// those of its gateways.
func (g *Generator) listenersOf(w *check.Workload, outbound Resource, gateway *gatewaySet, access Access) (*List, error) {
	set := listenerSet{capture: w.Capture, ports: g.inboundPorts(w, access), outbound: &outbound.Bytes[0], gateway: gateway, tells: w.Telemetry}
	g.mu.Lock()
	old, ok := g.listeners[w.Key()]
	g.mu.Unlock()
	if ok && set.madeFrom(&old) {
		return old.list, nil
	}
	own, err := g.inboundListeners(w, set.ports)
	if err != nil {
		return nil, err
	}
	if gateway != nil {
		own = append(own, gateway.listeners...)
	}
	set.list = newList(append(own, outbound))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners[w.Key()] = set
	return set.list, nil
}

func (g *Generator) inboundListeners(w *check.Workload, ports []inboundPort) ([]Resource, error) {
	p := reporter(w, mesh.ServerSide)
	var out []Resource
	add := func(name string, m message) error {
		r, err := newResource(ListenerType, name, m)
		out = append(out, r)
		return err
	}
	if w.Capture == mesh.CaptureRedirect && len(ports) > 0 {
		l := p.capturedListener(g.settings, ports)
		if err := add(l.Name, l); err != nil {
			return nil, err
		}
		return out, p.err
	}
	for _, in := range ports {
		l := p.inboundListener(g.settings, in)
		if err := add(l.Name, l); err != nil {
			return nil, err
		}
	}
	return out, p.err
}

func (g *Generator) inboundClusters(w *check.Workload) (*List, error) {
	var key strings.Builder
	for _, in := range w.Inbound {
		fmt.Fprintf(&key, "%d %s %t,", in.Port, in.Protocol, g.speaksHTTP1(in))
	}
	return g.inbound.Get(key.String(), func() (*List, error) {
		var p packer
		var out []Resource
		for _, in := range w.Inbound {
			c := p.inboundCluster(in, g.speaksHTTP1(in))
			r, err := newResource(ClusterType, c.Name, c)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
		return newList(out), p.err
	})
}

// newList sorts, for no order of making is a stable one.
func newList(resources []Resource) *List {
	slices.SortFunc(resources, func(a, b Resource) int { return strings.Compare(a.Name, b.Name) })
	return &List{Resources: resources}
}
