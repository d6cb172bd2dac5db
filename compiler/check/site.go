package check

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// site is a service while it is being checked.
type site struct {
	key, ns, name string
	origin        mesh.Origin
	doc           any // the document that makes it, for comparison between runs
	hosts         []string
	short         bool
	ports         []mesh.ServicePort // by number
	nodes         []*node            // by key
	selects       bool               // nodes come from a selector or from MeshWorkloads
	external      *mesh.External
	opaque        []uint32 // ports that a workload calls so, whatever the service says
	tls           *mesh.ClientTLS
	callers       []*originated // what BackendTLSPolicies say, in their order
	static        []mesh.Endpoint
	dns           bool
	assumed       *mesh.AssumedService
	virtual       bool
	visible       []string
	promised      []string // versions that are assumed
	place         int      // in names.sites
	position      int      // in Mesh.services
	declared      diag.List

	// What is attached to it, in the order of the documents' names.
	policies []*mesh.TrafficPolicy
	targeted []target

	// What comes of that.
	policy   policySet
	versions []*version
	routes   []*routing
	attached diag.List

	inputs []any
	deps   []*site // whose backends its rules use
	svc    *Service
	diags  diag.List
}

// target is a route that is about a service.
type target struct {
	doc *mesh.Route
	at  *mesh.RouteTarget
}

// services makes a site of each declared service.
func (c *checker) services() {
	c.names = names{
		domain: c.set.ClusterDomain,
		byKey:  make(map[string]int, len(c.prev.names.byKey)), byHost: make(map[string]int, len(c.prev.names.byHost)),
	}
	for _, n := range c.nodes {
		if n.doc.Service != nil {
			key := refKey(*n.doc.Service, n.doc.Namespace)
			c.named[key] = append(c.named[key], n)
		}
	}
	for _, doc := range c.in.Services {
		c.addKubernetes(doc)
	}
	c.addNative()
	for _, doc := range c.in.Externals {
		c.addExternal(doc)
	}
	c.addAssumptions()
}

// add enters a site under its names; the first owner of a name keeps it.
func (c *checker) add(s *site) bool {
	if first := c.names.key(s.key); first != nil {
		c.duplicateHost(s, first, "service "+s.key)
		return false
	}
	c.dotted(s)
	s.place = len(c.names.sites)
	c.names.byKey[s.key] = s.place
	c.names.sites = append(c.names.sites, s)
	kept := s.hosts[:0:0]
	for _, h := range s.hosts {
		lower := strings.ToLower(h)
		if first := c.names.host(lower); first != nil {
			c.duplicateHost(s, first, "host "+h)
			continue
		}
		if first := c.shortNamed(s, lower); first != nil {
			c.duplicateHost(s, first, "host "+h)
			continue
		}
		c.names.byHost[lower] = s.place
		kept = append(kept, lower)
	}
	s.hosts = kept
	return true
}

// dotted reports a service whose own name looks like that of a service with its
// namespace: Kubernetes' names of services are single labels (RFC 1035).
func (c *checker) dotted(s *site) {
	if !s.short || !strings.Contains(s.name, ".") {
		return
	}
	s.short = false
	d := diag.Diagnostic{
		Code: DuplicateHost, Severity: diag.Error,
		Message: fmt.Sprintf("the service's name %q has a dot: in namespace %s it could not be told from a service with its namespace", s.name, s.ns),
		Fix:     &diag.Fix{Message: "write a name of letters, digits and -"},
	}
	if w, ok := s.doc.(*mesh.Workload); ok {
		d.Span = w.Service.Span
	}
	report(&c.diags, s.origin, d)
}

// shortNamed finds a service whose bare name is a host of s in some namespace
// that has both in scope.
func (c *checker) shortNamed(s *site, host string) *site {
	if strings.Contains(host, ".") {
		return nil
	}
	for _, o := range c.names.sites {
		if o != s && o.short && o.name == host && s.offered(o.ns) {
			return o
		}
	}
	return nil
}

// duplicateHost reports a second owner of a name: Envoy rejects a whole
// RouteConfiguration that has one domain twice.
func (c *checker) duplicateHost(s, first *site, what string) {
	report(&c.diags, s.origin, diag.Diagnostic{
		Code: DuplicateHost, Severity: diag.Error,
		Message: fmt.Sprintf("%s is already %s", what, first.origin.Object()),
		Related: []diag.Related{{Span: first.origin.Span, Message: "the first, which keeps the name"}},
	})
}

func (c *checker) addKubernetes(doc *mesh.Service) {
	s := &site{
		ns: doc.Namespace, name: doc.Name, key: doc.Namespace + "/" + doc.Name, origin: doc.Origin, doc: doc,
		hosts: c.names.clusterHosts(doc.Namespace, doc.Name), short: true,
		ports: slices.Clone(doc.Ports), nodes: c.selected(doc.Namespace, doc.Selector), selects: len(doc.Selector) > 0,
	}
	if doc.ExternalName != "" {
		s.selects, s.nodes, s.dns = false, nil, true
		s.static = []mesh.Endpoint{{Address: doc.ExternalName, Span: doc.Span}}
	}
	sortPorts(s.ports)
	if !c.add(s) {
		return
	}
	for _, n := range c.named[s.key] {
		if !slices.Contains(s.nodes, n) {
			s.nodes, s.selects = append(s.nodes, n), true
		}
	}
	s.settleNodes()
}

// settleNodes ends the collection of a site's workloads.
func (s *site) settleNodes() {
	slices.SortFunc(s.nodes, func(a, b *node) int { return cmp.Compare(a.key, b.key) })
	for _, n := range s.nodes {
		n.sites = append(n.sites, s)
	}
	if s.selects && len(s.nodes) == 0 {
		report(&s.diags, s.origin, diag.Diagnostic{
			Code: SelectsNothing, Severity: diag.Warning,
			Message: "the selector of service " + s.key + " matches no workload of this repository: it counts as outside the mesh, and calls to it are plaintext",
		})
	}
	for i := range s.ports {
		s.checkTarget(&s.ports[i])
	}
	s.carryConnections()
}

func (s *site) checkTarget(p *mesh.ServicePort) {
	for _, n := range s.nodes {
		if _, ok := n.target(p); ok {
			continue
		}
		report(&s.diags, s.origin, diag.Diagnostic{
			Code: PortMismatch, Severity: diag.Error, Span: p.Span,
			Message: fmt.Sprintf("port %d targets the container port %q, which workload %s does not have", p.Number, p.TargetName, n.key),
			Related: []diag.Related{{Span: n.doc.Span, Message: "the workload"}},
			Fix:     suggest(p.TargetName, n.portNames()),
		})
	}
}

func (n *node) portNames() []string {
	var names []string
	for _, p := range n.doc.Ports {
		if p.Name != "" {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// addNative makes services of MeshWorkloads that name one which Kubernetes does
// not have. Several workloads may share it, as versions.
func (c *checker) addNative() {
	for _, key := range slices.Sorted(maps.Keys(c.named)) {
		nodes := c.named[key]
		if s := c.names.key(key); s != nil {
			nodes = slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return slices.Contains(s.nodes, n) })
		}
		if len(nodes) == 0 {
			continue
		}
		ns, name, _ := strings.Cut(key, "/")
		s := &site{
			ns: ns, name: name, key: key, origin: nodes[0].doc.Origin, doc: nodes[0].doc,
			hosts: c.names.clusterHosts(ns, name), short: true, nodes: nodes, selects: true,
		}
		s.ports = nativePorts(s)
		if c.add(s) {
			s.settleNodes()
		}
	}
}

// nativePorts is the union of the workloads' ports.
func nativePorts(s *site) []mesh.ServicePort {
	byNumber := map[uint32]mesh.ServicePort{}
	for _, n := range s.nodes {
		for _, p := range n.doc.Ports {
			have, ok := byNumber[p.Number]
			protocol := declaredProtocol(n.doc, p)
			if !ok {
				byNumber[p.Number] = mesh.ServicePort{Name: p.Name, Number: p.Number, Protocol: protocol, Target: p.Number, Span: p.Span}
			} else if have.Protocol != protocol {
				report(&s.diags, n.doc.Origin, diag.Diagnostic{
					Code: PortMismatch, Severity: diag.Error, Span: p.Span,
					Message: fmt.Sprintf("port %d of service %s is %s here and %s elsewhere", p.Number, s.key, protocol, have.Protocol),
					Related: []diag.Related{{Span: have.Span, Message: "the first"}},
				})
			}
		}
	}
	ports := slices.Collect(maps.Values(byNumber))
	sortPorts(ports)
	return ports
}

func sortPorts(ports []mesh.ServicePort) {
	slices.SortStableFunc(ports, func(a, b mesh.ServicePort) int { return cmp.Compare(a.Number, b.Number) })
}

func (c *checker) addExternal(doc *mesh.External) {
	name := cmp.Or(doc.Service, doc.Name)
	s := &site{
		ns: doc.Namespace, name: name, key: doc.Namespace + "/" + name, origin: doc.Origin, doc: doc,
		hosts: doc.Hosts, ports: slices.Clone(doc.Ports), external: doc, tls: doc.TLS,
		static: doc.Endpoints, visible: doc.From,
	}
	if doc.From == nil && doc.Dialect == mesh.Native {
		s.visible = []string{doc.Namespace}
	}
	if len(s.static) == 0 && doc.Resolution != "static" {
		for i, h := range doc.Hosts {
			if !strings.HasPrefix(h, "*") {
				s.static = append(s.static, mesh.Endpoint{Address: h, Span: spanAt(doc.HostsAt, i, doc.Span)})
			}
		}
	}
	s.dns = slices.ContainsFunc(s.static, func(e mesh.Endpoint) bool {
		_, err := netip.ParseAddr(e.Address)
		return err != nil
	})
	sortPorts(s.ports)
	c.add(s)
}

// port finds a port by number.
func (s *site) port(number uint32) *mesh.ServicePort {
	for i := range s.ports {
		if s.ports[i].Number == number {
			return &s.ports[i]
		}
	}
	return nil
}

// has reports whether the site is known to have workloads, so that a version or
// selection without any is a mistake and not something that we cannot see.
func (s *site) has() bool { return len(s.nodes) > 0 }
