package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// addAssumptions makes sites of the services that Assumption documents declare.
func (c *checker) addAssumptions() {
	owned := c.ownedNamespaces()
	for _, doc := range c.in.Assumptions {
		for i := range doc.Services {
			a := &doc.Services[i]
			ns, name, local := c.names.place(a.Ref, doc.Namespace)
			if at, ok := owned[ns]; ok && local {
				report(&c.diags, doc.Origin, diag.Diagnostic{
					Code: OwnAssumption, Severity: diag.Error, Span: a.Span,
					Message: fmt.Sprintf("service %s/%s is assumed to exist elsewhere, but this repository owns namespace %s", ns, name, ns),
					Related: []diag.Related{{Span: at, Message: "a document of the namespace"}},
				})
				continue
			}
			s := c.assumedSite(doc.Origin, a, ns, name, local)
			for _, number := range a.Ports {
				s.ports = append(s.ports, mesh.ServicePort{Number: number, Protocol: mesh.HTTP, Span: a.Span})
			}
			sortPorts(s.ports)
			c.add(s)
		}
	}
}

// ownedNamespaces are those with services or workloads in the repository.
func (c *checker) ownedNamespaces() map[string]source.Span {
	owned := map[string]source.Span{}
	for _, s := range c.names.sites {
		if _, ok := owned[s.ns]; !ok && s.external == nil {
			owned[s.ns] = s.origin.Span
		}
	}
	for _, n := range c.nodes {
		if _, ok := owned[n.doc.Namespace]; !ok {
			owned[n.doc.Namespace] = n.doc.Span
		}
	}
	return owned
}

func (c *checker) assumedSite(o mesh.Origin, a *mesh.AssumedService, ns, name string, local bool) *site {
	s := &site{ns: ns, name: name, key: ns + "/" + name, origin: o, assumed: a, hosts: []string{name}}
	if local {
		s.hosts, s.short = c.names.clusterHosts(ns, name), true
	}
	return s
}

// assume makes sites for what only routes name: with AssumeExternal every
// destination that nobody declares, and hosts that are no service (Istio). It
// also gives sites without declared ports those that are asked of them, in the
// order of the documents.
func (c *checker) assume() {
	if c.opt.AssumeExternal { // first: what is a destination is more than a host
		c.eachDestination(c.assumeService)
	}
	for _, r := range c.in.Routes {
		for i := range r.Targets {
			if !r.OffMesh {
				c.assumeTarget(r, &r.Targets[i])
			}
		}
	}
	for range 2 { // a port asked of one assumed service may pass on to the next
		c.eachDestination(c.assumePorts)
	}
	for _, s := range c.names.sites {
		c.assumePort(s)
		sortPorts(s.ports)
	}
}

// eachDestination visits what the routes name as destinations and mirrors.
func (c *checker) eachDestination(visit func(*mesh.Route, *mesh.Destination)) {
	for _, r := range c.in.Routes {
		for _, rule := range slices.Concat(r.Rules, r.Connections) {
			for i := range rule.To {
				visit(r, &rule.To[i])
			}
			for i := range rule.Mirrors {
				visit(r, &rule.Mirrors[i].Destination)
			}
		}
	}
}

// assumeService makes the site of a destination that nobody declares.
func (c *checker) assumeService(r *mesh.Route, d *mesh.Destination) {
	if d.Service == nil || c.names.find(*d.Service, r.Namespace) != nil {
		return
	}
	ns, name, local := c.names.place(*d.Service, r.Namespace)
	c.add(c.assumedSite(r.Origin, &mesh.AssumedService{Ref: *d.Service}, ns, name, local))
}

// assumePort gives a port to a host that only redirects or responds, and to an
// assumed service of which no document says any.
func (c *checker) assumePort(s *site) {
	guess := c.opt.AssumeExternal && s.assumed != nil
	if len(s.ports) > 0 || !guess && !s.virtual {
		return
	}
	s.ports = []mesh.ServicePort{{Number: 80, Protocol: mesh.HTTP, Span: s.origin.Span}}
	if !guess {
		return
	}
	report(&c.diags, s.origin, diag.Diagnostic{
		Code: PortMismatch, Severity: diag.Warning, Span: s.assumed.Ref.Span,
		Message: fmt.Sprintf("nothing says on which port service %s listens: 80 is assumed", s.key),
		Fix:     &diag.Fix{Message: "write the destination's port, or name the service and its ports in an Assumption"},
	})
}

// assumeTarget makes the site of a route's target.
func (c *checker) assumeTarget(r *mesh.Route, t *mesh.RouteTarget) {
	if c.names.find(t.Ref, r.Namespace) != nil {
		return
	}
	ns, name, local := c.names.place(t.Ref, r.Namespace)
	switch {
	case r.Dialect == mesh.Istio && t.Host != "":
		s := c.assumedSite(r.Origin, nil, ns, name, local)
		s.virtual = true
		c.add(s)
	case c.opt.AssumeExternal:
		c.add(c.assumedSite(r.Origin, &mesh.AssumedService{Ref: t.Ref}, ns, name, local))
	}
}

// assumePorts gives undeclared sites the port that a destination asks for.
func (c *checker) assumePorts(r *mesh.Route, d *mesh.Destination) {
	if d.Service == nil {
		return
	}
	to := c.names.find(*d.Service, r.Namespace)
	if to == nil {
		return
	}
	if d.Version != "" && to.assumes(d.Version) && !slices.Contains(to.promised, d.Version) {
		to.promised = append(to.promised, d.Version)
	}
	var asked []mesh.ServicePort
	if d.Port != 0 {
		asked = []mesh.ServicePort{{Number: d.Port, Protocol: mesh.HTTP, Span: d.PortAt}}
	}
	for i := range r.Targets {
		from := c.names.find(r.Targets[i].Ref, r.Namespace)
		if from == nil || from == to {
			continue
		}
		if d.Port == 0 {
			to.take(from.ports)
		}
		if from.virtual {
			from.takeAny(asked, to)
		}
	}
	to.take(asked)
}

// take adds ports to a site whose ports nobody declared.
func (s *site) take(ports []mesh.ServicePort) {
	if s.assumed == nil || len(s.assumed.Ports) > 0 {
		return
	}
	for _, p := range ports {
		if s.port(p.Number) == nil {
			s.ports = append(s.ports, mesh.ServicePort{Number: p.Number, Name: p.Name, Protocol: p.Protocol, Span: p.Span})
		}
	}
}

// takeAny gives a virtual host the port of one of its destinations, or all of
// the destination's where none is written.
func (s *site) takeAny(asked []mesh.ServicePort, to *site) {
	ports := to.ports
	if len(asked) > 0 {
		ports = asked
		if p := to.port(asked[0].Number); p != nil {
			ports = []mesh.ServicePort{*p}
		}
	}
	for _, p := range ports {
		if s.port(p.Number) == nil {
			s.ports = append(s.ports, mesh.ServicePort{Number: p.Number, Name: p.Name, Protocol: p.Protocol, Span: p.Span})
		}
	}
}

func spanAt(spans []source.Span, i int, otherwise source.Span) source.Span {
	if i < len(spans) {
		return spans[i]
	}
	return otherwise
}

// assumes reports whether a version may exist outside the repository. Where a
// document here says which there are, others are misspelt.
func (s *site) assumes(version string) bool {
	return s.assumed != nil && len(s.policy.versions) == 0 &&
		(len(s.assumed.Versions) == 0 || slices.Contains(s.assumed.Versions, version))
}
