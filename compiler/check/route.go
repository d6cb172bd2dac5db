package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// routing is a route document in force for a service.
type routing struct {
	doc *mesh.Route
	// clients are the namespaces that see it; nil: all.
	clients []string
	answers []*site // of the destinations that its rules write, in order; nil: unknown
}

// routes attaches each route to the services that it is about and decides which
// are in force. A sidecar takes one route per host: two that the same client
// would see are an error, and the first is used, that of the service's own
// namespace before others.
func (c *checker) routes() {
	for _, doc := range c.in.Routes {
		if doc.OffMesh {
			c.offMesh = append(c.offMesh, doc)
			continue
		}
		for i := range doc.Targets {
			c.attach(doc, &doc.Targets[i])
		}
	}
	for _, s := range c.sites {
		slices.SortStableFunc(s.routes, func(a, b *routing) int {
			return preferredRoute(b, s) - preferredRoute(a, s)
		})
		s.inForce()
	}
}

func (c *checker) attach(doc *mesh.Route, t *mesh.RouteTarget) {
	s := c.names.find(t.Ref, doc.Namespace)
	if s == nil {
		c.unknownTarget(doc.Origin, t.Ref, doc.Namespace)
		return
	}
	if doc.Dialect == mesh.Native && s.ns != doc.Namespace && !c.needGrant(&s.diags, doc.Origin, t.Ref, s) {
		return
	}
	if slices.ContainsFunc(s.routes, func(r *routing) bool { return r.doc == doc }) {
		return // one document, two spellings of one host
	}
	s.routes = append(s.routes, &routing{doc: doc, clients: clients(doc)})
	for _, rule := range doc.Rules {
		s.checkMatchPorts(doc, rule)
	}
}

// checkMatchPorts reports conditions on ports that the service does not have.
func (s *site) checkMatchPorts(doc *mesh.Route, rule *mesh.Rule) {
	if s.virtual || s.assumed != nil {
		return
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
		rank += 4
	}
	if r.clients != nil {
		rank += 2 // Istio looks at what is private to a namespace first
	}
	if r.doc.Namespace == s.ns {
		rank++
	}
	return rank
}

// inForce keeps the routes that no earlier one hides.
func (s *site) inForce() {
	var kept []*routing
	for _, r := range s.routes {
		i := slices.IndexFunc(kept, func(k *routing) bool { return overlap(k.clients, r.clients) })
		if i < 0 {
			kept = append(kept, r)
			continue
		}
		report(&s.diags, r.doc.Origin, diag.Diagnostic{
			Code: DuplicateHost, Severity: diag.Error,
			Message: fmt.Sprintf("service %s already has the route %s, which hides this one", s.key, kept[i].doc.Object()),
			Related: []diag.Related{{Span: kept[i].doc.Span, Message: "the route that is used"}},
			Fix:     &diag.Fix{Message: "make one document of the two: the order of rules is visible only within one"},
		})
	}
	s.routes = kept
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

// needGrant reports whether namespace-crossing references from o to s are
// granted, and complains where not.
func (c *checker) needGrant(l *diag.List, o mesh.Origin, ref mesh.Ref, s *site) bool {
	if s.assumed != nil || c.granted(o.Namespace, s) {
		return true
	}
	report(l, o, diag.Diagnostic{
		Code: MissingGrant, Severity: diag.Error, Span: ref.Span,
		Message: fmt.Sprintf("service %s is of another namespace, and no Grant there lets namespace %s refer to it", s.key, o.Namespace),
		Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		Fix:     &diag.Fix{Message: fmt.Sprintf("ask the owner of namespace %s for a Grant from %s", s.ns, o.Namespace)},
	})
	return false
}

func (c *checker) granted(from string, s *site) bool {
	for _, g := range c.in.Grants {
		if g.Namespace != s.ns || !slices.Contains(g.From, from) {
			continue
		}
		if len(g.To) == 0 || slices.ContainsFunc(g.To, func(r mesh.Ref) bool { return c.names.find(r, g.Namespace) == s }) {
			return true
		}
	}
	return false
}
