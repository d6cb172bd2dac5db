package xds

import (
	"encoding/binary"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// scope is what workloads share that may call the same services in the same way.
type scope struct {
	listener Resource
	routes   *List
	clusters *List
	backends []*check.Backend // one for each cluster
}

// scopePort is a port in scope; local says that the client is in its namespace.
type scopePort struct {
	port  *check.Port
	local bool
}

func (g *Generator) scope(w *check.Workload) (*scope, error) {
	return g.scopes.get(g.scopeKey(w), func() (*scope, error) { return g.makeScope(w) })
}

// scopeKey holds everything of a workload that its outbound side depends on:
// which services it uses, where their short names are its own, and which matches
// exist for it.
func (g *Generator) scopeKey(w *check.Workload) string {
	key := append(make([]byte, 0, 8+4*len(w.Uses)), w.Capture...)
	key = append(key, '|', flag(w.AllowAnyEgress))
	for _, s := range w.Uses {
		key = binary.AppendUvarint(key, g.ids[s])
		key = append(key, flag(isLocal(s, w)))
		for _, p := range s.Ports {
			class := clientClass(p, w)
			key = binary.AppendUvarint(key, uint64(len(class)))
			key = append(key, class...)
		}
	}
	return string(key)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func isLocal(s *check.Service, w *check.Workload) bool {
	return s.ShortName && s.Namespace == w.Namespace
}

func (g *Generator) makeScope(w *check.Workload) (*scope, error) {
	var ports []scopePort
	for _, s := range w.Uses {
		for _, p := range s.Ports {
			ports = append(ports, scopePort{port: p, local: isLocal(s, w)})
		}
	}
	routes, err := g.routeConfigs(w, ports)
	if err != nil {
		return nil, err
	}
	clusters, err := g.outboundClusters(w, ports)
	if err != nil {
		return nil, err
	}
	listener, err := g.outboundListener(w, ports)
	return &scope{
		listener: listener, routes: newList(routes), clusters: newList(clusters), backends: scopeBackends(w, ports),
	}, err
}

func (g *Generator) outboundListener(w *check.Workload, ports []scopePort) (Resource, error) {
	var p packer
	var l *listenerv3.Listener
	if w.Capture == mesh.CaptureRedirect {
		l = p.redirectListener(g.settings, ports, w.AllowAnyEgress)
	} else {
		l = p.proxyListener(g.settings)
	}
	r, err := newResource(ListenerType, l.Name, l)
	if err == nil {
		err = p.err
	}
	return r, err
}

// routeConfigs: one for the explicit proxy, one a port for captured traffic.
func (g *Generator) routeConfigs(w *check.Workload, ports []scopePort) ([]Resource, error) {
	if w.Capture != mesh.CaptureRedirect {
		r, err := g.routeConfig(outboundName, w, ports)
		return []Resource{r}, err
	}
	var out []Resource
	for _, group := range groupByNumber(ports) {
		var http []scopePort
		for _, p := range group {
			if p.port.Protocol.IsHTTP() {
				http = append(http, p)
			}
		}
		if len(http) == 0 {
			continue
		}
		r, err := g.routeConfig(routeConfigName(group[0].port.Number), w, http)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (g *Generator) routeConfig(name string, w *check.Workload, ports []scopePort) (Resource, error) {
	config := routeConfig{name: name, owner: map[string]string{}}
	captured := w.Capture == mesh.CaptureRedirect
	for _, p := range ports {
		routes, err := g.portRoutes(p.port, w)
		if err != nil {
			return Resource{}, err
		}
		domains := domains(p.port, p.local, captured)
		if len(domains) == 0 {
			continue
		}
		if err := config.add(virtualHostName(p.port), domains, routes); err != nil {
			return Resource{}, err
		}
	}
	rest := blackHoleRoute()
	if captured && w.AllowAnyEgress {
		rest = passthroughRoute()
	}
	return config.resource(rest)
}

// outboundClusters are those that some route of the scope leads to.
func (g *Generator) outboundClusters(w *check.Workload, ports []scopePort) ([]Resource, error) {
	var out []Resource
	for _, b := range scopeBackends(w, ports) {
		r, err := g.cluster(b)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if w.Capture == mesh.CaptureRedirect {
		rest, err := restCluster(w.AllowAnyEgress)
		return append(out, rest), err
	}
	return out, nil
}

// scopeBackends are those that a route of the scope leads to, each once.
func scopeBackends(w *check.Workload, ports []scopePort) []*check.Backend {
	seen := map[*check.Backend]bool{}
	var out []*check.Backend
	for _, p := range ports {
		for _, b := range backends(p.port, w) {
			if !seen[b] {
				seen[b] = true
				out = append(out, b)
			}
		}
	}
	return out
}

// Backends returns what the outbound clusters of a workload stand for. It is the
// same as long as Slice.Clusters is.
func (g *Generator) Backends(w *check.Workload) ([]*check.Backend, error) {
	s, err := g.scope(w)
	if err != nil {
		return nil, err
	}
	return s.backends, nil
}

// restCluster is where connections go that no service of the scope has.
func restCluster(allowAny bool) (Resource, error) {
	var p packer
	c := &clusterv3.Cluster{Name: blackHoleCluster}
	setType(c, clusterv3.Cluster_STATIC)
	if allowAny {
		c = p.passthrough()
	}
	return newResource(ClusterType, c.Name, c)
}

// backends are what a client's rules of a port lead to, copies included.
func backends(p *check.Port, client *check.Workload) []*check.Backend {
	var out []*check.Backend
	for _, r := range p.Rules {
		if len(r.MatchesFor(client)) == 0 {
			continue
		}
		for i := range r.To {
			out = append(out, r.To[i].Backend)
		}
		for i := range r.Mirrors {
			out = append(out, r.Mirrors[i].Backend)
		}
	}
	return out
}
