package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// routing is a route document in force for a service.
type routing struct {
	doc *mesh.Route
	to  *mesh.RouteTarget // the first by which it is about the service
	// clients are the namespaces that see it; nil: all.
	clients []string
	ports   []uint32 // of the service that it is about; nil: all
	answers []*site  // of the destinations that its rules write, in order; nil: unknown
}

// routes attaches each route to the services that it is about and decides which
// are in force. A sidecar takes one route per host: two that the same client
// would see are an error, and the first is used, that of the service's own
// namespace before others.
func (c *checker) routes() {
	c.attachRoutes(c.in.Routes)
	for _, s := range c.names.sites {
		c.routesOf(s)
	}
}

func (c *checker) attachRoutes(docs []*mesh.Route) {
	for _, doc := range docs {
		c.of(doc, func() { checkWeights(&c.diags, doc) })
		if doc.OffMesh {
			continue
		}
		c.of(doc, func() { c.routeTargets(doc) })
	}
}

func (c *checker) routeTargets(doc *mesh.Route) {
	for i := range doc.Targets {
		t := &doc.Targets[i]
		if s := c.names.find(t.Ref, doc.Namespace); s != nil {
			s.targeted = append(s.targeted, target{doc, t})
		} else {
			c.unknownTarget(doc.Origin, t.Ref, doc.Namespace)
		}
	}
}

// routesOf decides which routes of a service are in force.
func (c *checker) routesOf(s *site) {
	for _, t := range s.targeted {
		c.attach(s, t.doc, t.at)
	}
	slices.SortStableFunc(s.routes, func(a, b *routing) int {
		return preferredRoute(b, s) - preferredRoute(a, s)
	})
	s.inForce()
}

func (c *checker) attach(s *site, doc *mesh.Route, t *mesh.RouteTarget) {
	r := &routing{doc: doc, to: t, clients: clients(doc)}
	if doc.ByPrecedence && s.ns != doc.Namespace {
		r.clients = []string{doc.Namespace} // a consumer route (GEP-1294)
	}
	// A route that only its own namespace's calls take needs nobody's consent.
	own := doc.Dialect != mesh.Native && slices.Equal(r.clients, []string{doc.Namespace})
	if !own && !c.mayRule(&s.diags, doc.Origin, t.Ref, s) {
		return
	}
	port, ok := s.targetPort(doc, t)
	if !ok {
		return
	}
	if i := slices.IndexFunc(s.routes, func(r *routing) bool { return r.doc == doc }); i >= 0 {
		s.routes[i].add(port)
		return // one document, two spellings of one host, or two ports
	}
	if port != 0 {
		r.ports = []uint32{port}
	}
	s.routes = append(s.routes, r)
	for _, rule := range doc.Rules {
		s.checkMatchPorts(doc, rule)
	}
}

// targetPort finds the port that a target names, 0 where it is about all of them; ok
// is false where the service has no such port.
func (s *site) targetPort(doc *mesh.Route, t *mesh.RouteTarget) (number uint32, ok bool) {
	if t.Port == 0 && t.PortName == "" || s.virtual || s.assumed != nil {
		return t.Port, true
	}
	i := slices.IndexFunc(s.ports, func(p mesh.ServicePort) bool {
		return (t.Port == 0 || p.Number == t.Port) && (t.PortName == "" || p.Name == t.PortName)
	})
	if i < 0 {
		wanted := strconv.FormatUint(uint64(t.Port), 10)
		switch {
		case t.Port == 0:
			wanted = strconv.Quote(t.PortName)
		case t.PortName != "":
			wanted += " of the name " + strconv.Quote(t.PortName)
		}
		report(&s.diags, doc.Origin, diag.Diagnostic{
			Code: PortMismatch, Severity: diag.Error, Span: t.PortAt,
			Message: fmt.Sprintf("service %s has no port %s; it has %s", s.key, wanted, s.portList()),
			Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		})
		return 0, false
	}
	return s.ports[i].Number, true
}

// add makes the route one of another port too, of all for 0.
func (r *routing) add(port uint32) {
	switch {
	case port == 0:
		r.ports = nil
	case r.ports != nil && !slices.Contains(r.ports, port):
		r.ports = append(r.ports, port)
	}
}

// at reports whether the route is about a port.
func (r *routing) at(port uint32) bool { return r.ports == nil || slices.Contains(r.ports, port) }

// checkMatchPorts reports conditions on ports that the service does not have.
func (s *site) checkMatchPorts(doc *mesh.Route, rule *mesh.Rule) {
	if s.virtual || s.assumed != nil || len(doc.Gateways) > 0 {
		return // the port may be the gateway's
	}
	for i := range rule.Matches {
		m := &rule.Matches[i]
		for _, port := range m.Ports {
			if s.port(port) == nil {
				s.missingPort(&s.diags, doc.Origin, cmp.Or(m.Span, rule.Span), port)
			}
		}
	}
}

// clients resolves exportTo.
func clients(doc *mesh.Route) []string {
	var out []string
	for _, ns := range doc.ExportTo {
		switch ns {
		case "*":
			return nil
		case ".":
			out = append(out, doc.Namespace)
		case "~":
		default:
			out = append(out, ns)
		}
	}
	if out == nil && doc.ExportTo != nil {
		return []string{} // nobody
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func preferredRoute(r *routing, s *site) int {
	rank := 0
	if r.doc.Dialect == mesh.Native {
		rank += 16
	}
	if r.doc.Supersedes {
		rank += 8
	}
	if r.clients != nil {
		rank += 4 // Istio looks at what is private to a namespace first
	}
	if r.doc.Namespace == s.ns {
		rank += 2
	}
	if r.doc.ByPrecedence && r.doc.Kind == "GRPCRoute" {
		rank++ // GEP-1294, "Route types"
	}
	return rank
}

// inForce keeps the routes that no earlier one hides.
func (s *site) inForce() {
	var kept []*routing
	for _, r := range s.routes {
		i := slices.IndexFunc(kept, func(k *routing) bool { return k.hides(r) || k.supersedes(r) })
		if i < 0 {
			kept = append(kept, r)
			continue
		}
		if kept[i].supersedes(r) {
			s.superseded(kept[i], r)
			continue
		}
		report(&s.diags, r.doc.Origin, diag.Diagnostic{
			Code: DuplicateHost, Severity: diag.Error, Span: placeOf(r),
			Message: fmt.Sprintf("service %s already has the route %s, which hides this one", s.key, kept[i].doc.Object()),
			Related: []diag.Related{{Span: kept[i].doc.Span, Message: "the route that is used"}},
			Fix:     &diag.Fix{Message: apart(kept[i], r)},
		})
	}
	s.routes = kept
}

// supersedes reports a route beside which another is not in force, whoever calls.
func (r *routing) supersedes(later *routing) bool { return r.doc.Supersedes && !later.doc.Supersedes }

// superseded says which of two routes is in force. "A ServiceProfile will take
// precedence over HTTPRoutes which configure the same Service" (Linkerd, HTTPRoute).
func (s *site) superseded(first, r *routing) {
	report(&s.diags, r.doc.Origin, diag.Diagnostic{
		Code: DuplicateHost, Severity: diag.Warning,
		Message: fmt.Sprintf("%s takes precedence for service %s: this route is not in force", first.doc.Object(), s.key),
		Related: []diag.Related{{Span: first.doc.Span, Message: "the route that is used"}},
		Fix:     &diag.Fix{Message: "remove one of the two"},
	})
}

// hides reports whether some client would see both routes at some port, of which it
// takes only the first.
func (r *routing) hides(later *routing) bool {
	if !overlap(r.clients, later.clients) || r.merges(later) {
		return false
	}
	return r.ports == nil || slices.ContainsFunc(r.ports, later.at)
}

// merges reports whether the rules of both make one table. Routes of different kinds
// do not (GEP-1294, "Route types").
func (r *routing) merges(other *routing) bool {
	a, b := r.doc, other.doc
	return a.ByPrecedence && b.ByPrecedence && a.Kind == b.Kind && a.Dialect == b.Dialect && slices.Equal(r.clients, other.clients)
}

// placeOf is where a document says that it is about a service: one of several
// parents, where it has them.
func placeOf(r *routing) source.Span {
	if r.doc.ByPrecedence {
		return r.to.Span
	}
	return r.doc.Span
}

// apart says how two routes that hide each other can both stand.
func apart(first, second *routing) string {
	if first.doc.ByPrecedence && second.doc.ByPrecedence {
		return "write the port that each is about: a port takes routes of one kind"
	}
	return "make one document of the two: the order of rules is visible only within one"
}

// overlap reports whether some client sees both. Private routes before a public
// one are no conflict: their clients are taken out of it.
func overlap(a, b []string) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return slices.ContainsFunc(a, func(ns string) bool { return slices.Contains(b, ns) })
}

// unknownTarget reports a document about a service that does not exist.
func (c *checker) unknownTarget(o mesh.Origin, ref mesh.Ref, namespace string) {
	if c.opt.AssumeExternal {
		return
	}
	d := diag.Diagnostic{
		Code: UnknownDestination, Severity: diag.Error, Span: ref.Span,
		Message: fmt.Sprintf("no service %s", spell(ref, namespace)),
		Fix:     c.suggestService(ref, namespace),
	}
	if o.Dialect == mesh.Istio {
		d.Severity = diag.Warning // a DestinationRule for nobody changes nothing
	}
	report(&c.diags, o, d)
}

// spell is a reference with the namespace in which it was looked up.
func spell(ref mesh.Ref, namespace string) string {
	if ref.Host != "" {
		if !strings.Contains(ref.Host, ".") {
			return fmt.Sprintf("%q in namespace %s", ref.Host, namespace)
		}
		return fmt.Sprintf("%q", ref.Host)
	}
	if ref.External {
		return "(external) " + refKey(ref, namespace)
	}
	return refKey(ref, namespace)
}

// mayRule reports whether a document may say how everybody's calls of a service go, and
// complains where its owner did not grant it. Istio lets any namespace rule another's host
// (ISTIO-SECURITY-2026-002), and its documentation does so: that is a warning. Documents of
// Istio's root namespace are the mesh's.
func (c *checker) mayRule(l *diag.List, o mesh.Origin, ref mesh.Ref, s *site) bool {
	return s.ns == o.Namespace || o.Dialect == mesh.Istio && o.Namespace == mesh.RootNamespace ||
		c.needGrant(l, o, ref, s) || o.Dialect == mesh.Istio
}

// needGrant reports whether namespace-crossing references from o to s are
// granted, and complains where not.
func (c *checker) needGrant(l *diag.List, o mesh.Origin, ref mesh.Ref, s *site) bool {
	if s.assumed != nil || c.granted(o, s) {
		return true
	}
	grant := "Grant"
	if o.Dialect == mesh.GatewayAPI {
		grant = "ReferenceGrant"
	}
	fix := fmt.Sprintf("ask the owner of namespace %s for a %s from %s", s.ns, grant, o.Namespace)
	severity := diag.Error
	if o.Dialect == mesh.Istio {
		severity = diag.Warning
	}
	if o.Kind == "VirtualService" {
		fix += `, or write exportTo: ["."], which routes the calls of your own namespace alone`
	}
	report(l, o, diag.Diagnostic{
		Code: MissingGrant, Severity: severity, Span: ref.Span,
		Message: fmt.Sprintf("service %s is of another namespace, and no %s there lets namespace %s refer to it", s.key, grant, o.Namespace),
		Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		Fix:     &diag.Fix{Message: fix},
	})
	return false
}

func (c *checker) granted(o mesh.Origin, s *site) bool {
	for _, g := range c.in.Grants {
		if g.Namespace != s.ns || !slices.Contains(g.From, o.Namespace) {
			continue
		}
		if g.Kinds != nil && (g.Dialect != o.Dialect || !slices.Contains(g.Kinds, o.Kind)) {
			continue
		}
		if len(g.To) == 0 || slices.ContainsFunc(g.To, func(r mesh.Ref) bool { return c.names.find(r, g.Namespace) == s }) {
			return true
		}
	}
	return false
}
