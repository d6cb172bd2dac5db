package xds

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Generator makes slices. What is the same for several workloads is made once:
// a cluster for each backend, the routes of a port for each class of clients,
// route configurations and outbound listeners for each scope. Build may be called
// concurrently.
type Generator struct {
	settings *check.Settings
	ids      map[*check.Service]uint64
	nextID   uint64

	routes   *memo[routesKey, []byte]
	clusters *memo[*check.Backend, Resource]
	scopes   *memo[string, *scope]
	inbound  *memo[string, *List]

	mu        sync.Mutex
	workloads map[*check.Workload]built
	previous  map[*check.Workload]built
}

// built is what a workload's own listeners were made from, and the list.
type built struct {
	scope  *scope
	access []PortAccess
	list   *List
}

// NewGenerator returns a generator for m. What did not change since the previous
// one, which may be nil, is taken from it; the bytes are the same without it.
func NewGenerator(m *check.Mesh, previous *Generator) *Generator {
	if previous == nil || !reflect.DeepEqual(previous.settings, m.Settings()) {
		previous = &Generator{}
	}
	g := &Generator{
		settings:  m.Settings(),
		ids:       make(map[*check.Service]uint64, len(m.Services())),
		nextID:    previous.nextID,
		routes:    newMemo(previous.routes),
		clusters:  newMemo(previous.clusters),
		scopes:    newMemo(previous.scopes),
		inbound:   newMemo(previous.inbound),
		workloads: map[*check.Workload]built{},
		previous:  previous.workloads,
	}
	for _, s := range m.Services() {
		id, ok := previous.ids[s]
		if !ok {
			g.nextID++
			id = g.nextID
		}
		g.ids[s] = id
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
	listeners, err := g.listeners(w, scope, access)
	if err != nil {
		return Slice{}, err
	}
	inbound, err := g.inboundClusters(w)
	return Slice{Listeners: listeners, Routes: scope.routes, Clusters: scope.clusters, Inbound: inbound}, err
}

// listeners are the scope's outbound listener and the workload's inbound ones.
func (g *Generator) listeners(w *check.Workload, scope *scope, access Access) (*List, error) {
	ports := make([]PortAccess, len(w.Inbound))
	for i, in := range w.Inbound {
		ports[i] = access(w, in)
	}
	if b, ok := g.lookup(w); ok && b.scope == scope && slices.EqualFunc(b.access, ports, PortAccess.equal) {
		g.store(w, b)
		return b.list, nil
	}
	own, err := g.inboundListeners(w, ports)
	if err != nil {
		return nil, err
	}
	list := newList(append(own, scope.listener))
	g.store(w, built{scope: scope, access: ports, list: list})
	return list, nil
}

func (g *Generator) lookup(w *check.Workload) (built, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.workloads[w]; ok {
		return b, true
	}
	b, ok := g.previous[w]
	return b, ok
}

func (g *Generator) store(w *check.Workload, b built) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.workloads[w] = b
}

func (g *Generator) inboundListeners(w *check.Workload, ports []PortAccess) ([]Resource, error) {
	var p packer
	var out []Resource
	add := func(name string, m message) error {
		r, err := newResource(ListenerType, name, m)
		out = append(out, r)
		return err
	}
	if w.Capture == mesh.CaptureRedirect && len(w.Inbound) > 0 {
		l := p.capturedListener(g.settings, w, ports)
		if err := add(l.Name, l); err != nil {
			return nil, err
		}
		return out, p.err
	}
	for i, in := range w.Inbound {
		l := p.inboundListener(g.settings, in, ports[i])
		if err := add(l.Name, l); err != nil {
			return nil, err
		}
	}
	return out, p.err
}

func (g *Generator) inboundClusters(w *check.Workload) (*List, error) {
	var key strings.Builder
	for _, in := range w.Inbound {
		fmt.Fprintf(&key, "%d %s,", in.Port, in.Protocol)
	}
	return g.inbound.get(key.String(), func() (*List, error) {
		var p packer
		var out []Resource
		for _, in := range w.Inbound {
			c := p.inboundCluster(in)
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
