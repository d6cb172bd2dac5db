package xds

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

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
	backends []*check.Backend // one for each of its clusters, by name
}

// scopePort is a port in scope; local says that the client is in its namespace.
type scopePort struct {
	port  *check.Port
	local bool
}

// serviceInfo is what a scope's key needs to know of a service.
type serviceInfo struct {
	id     uint64        // of this very value, never given twice
	asking []*check.Port // ports with rules that ask who calls
}

func describe(s *check.Service, id uint64) serviceInfo {
	info := serviceInfo{id: id}
	for _, p := range s.Ports {
		if asksCaller(p) {
			info.asking = append(info.asking, p)
		}
	}
	return info
}

// usesKey is a list of services that workloads share, by its place in memory.
type usesKey struct {
	first **check.Service
	n     int
}

// usesInfo is what the keys of all scopes over one list have in common.
type usesInfo struct {
	ids    string
	asking []*check.Port
	short  map[string]bool // namespaces in which some service's short name is valid
}

func (g *Generator) usesOf(w *check.Workload) *usesInfo {
	key := usesKey{n: len(w.Uses)}
	if key.n > 0 {
		key.first = &w.Uses[0]
	}
	info, _ := g.uses.Get(key, func() (*usesInfo, error) { return g.describeUses(w.Uses), nil })
	return info
}

func (g *Generator) describeUses(uses []*check.Service) *usesInfo {
	out := &usesInfo{short: map[string]bool{}}
	var ids []byte
	for _, s := range uses {
		info := g.services[s]
		ids = binary.AppendUvarint(ids, info.id)
		out.asking = append(out.asking, info.asking...)
		if s.ShortName {
			out.short[s.Namespace] = true
		}
	}
	out.ids = string(ids)
	return out
}

func (g *Generator) scope(w *check.Workload) (*scope, error) {
	return g.scopes.Get(g.scopeKey(w), func() (*scope, error) { return g.makeScope(w) })
}

// scopeKey holds everything of a workload that its outbound side depends on:
// which services it uses, where their short names are its own, what it reports, which
// matches exist for it, and which rate-limit services it asks. Each part says its
// length.
func (g *Generator) scopeKey(w *check.Workload) string {
	uses := g.usesOf(w)
	local := ""
	if uses.short[w.Namespace] {
		local = w.Namespace
	}
	var key []byte
	for _, part := range []string{string(w.Capture), strconv.FormatBool(w.AllowAnyEgress), local, uses.ids, g.telemetryKey(w)} {
		key = appendPart(key, part)
	}
	for _, p := range uses.asking {
		key = appendPart(key, clientClass(p, w))
	}
	for _, b := range w.Limiters() {
		key = appendPart(key, strconv.FormatUint(g.services[b.Port.Service].id, 10)+" "+ClusterName(b))
	}
	return string(key)
}

func appendPart(key []byte, part string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(part))), part...)
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
	backends := withLimiters(w, withCollectors(w, reachable(w, ports)))
	clusters, err := g.outboundClusters(w, backends)
	if err != nil {
		return nil, err
	}
	listener, err := g.outboundListener(w, ports, backends)
	return &scope{
		listener: listener, routes: newList(routes), clusters: newList(clusters), backends: backends,
	}, err
}

// outboundListener is the same for all scopes of capture none without fallbacks.
func (g *Generator) outboundListener(w *check.Workload, ports []scopePort, backends []*check.Backend) (Resource, error) {
	p := reporter(w, mesh.ClientSide)
	var l *listenerv3.Listener
	if w.Capture == mesh.CaptureRedirect {
		l = p.redirectListener(g.settings, ports, backends, w.AllowAnyEgress)
	} else {
		l = p.proxyListener(g.settings, backends)
	}
	r, err := newResource(ListenerType, l.Name, l)
	if err == nil {
		err = p.err
	}
	if err != nil {
		return Resource{}, err
	}
	// Equal listeners are one, so that a changed route changes no listener's list.
	return g.outbound.Get(string(r.Bytes), func() (Resource, error) { return r, nil })
}

// routeConfigs: one for the explicit proxy, one a port for captured traffic.
func (g *Generator) routeConfigs(w *check.Workload, ports []scopePort) ([]Resource, error) {
	if w.Capture != mesh.CaptureRedirect {
		r, err := g.routeConfig(OutboundListener, w, ports)
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

func (g *Generator) outboundClusters(w *check.Workload, backends []*check.Backend) ([]Resource, error) {
	var out []Resource
	for _, b := range backends {
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

// reachable are the backends that some route of the scope leads to, once each, by
// cluster name.
func reachable(client *check.Workload, ports []scopePort) []*check.Backend {
	seen := map[*check.Backend]bool{}
	var out []*check.Backend
	add := func(b *check.Backend) {
		if !seen[b] {
			seen[b] = true
			out = append(out, b)
		}
	}
	for _, p := range ports {
		for _, r := range p.port.Rules {
			if len(r.MatchesFor(client)) == 0 {
				continue
			}
			for i := range r.To {
				add(r.To[i].Backend)
			}
			for i := range r.Mirrors {
				add(r.Mirrors[i].Backend)
			}
		}
	}
	sortBackends(out)
	return out
}

func sortBackends(list []*check.Backend) {
	names := make(map[*check.Backend]string, len(list))
	for _, b := range list {
		names[b] = ClusterName(b)
	}
	slices.SortFunc(list, func(a, b *check.Backend) int { return strings.Compare(names[a], names[b]) })
}
