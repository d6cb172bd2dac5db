package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// connectionRule is the one rule of a port where requests cannot be seen: the
// first native rule that asks nothing of them, else the service itself.
func (c *checker) connectionRule(s *site, p *Port) *Rule {
	for _, r := range s.routes {
		if rule := c.connectionOf(s, p, r); rule != nil {
			return rule
		}
		if r.doc.Dialect != mesh.Native || r.clients != nil {
			s.noConnections(r, p)
			continue // its http rules do not concern connections
		}
		at := location{site: s, port: p, routing: r, diags: &s.diags}
		for _, doc := range r.doc.Rules {
			matches := matchesAt(doc, p.Number, nil)
			if len(matches) == 0 {
				continue
			}
			if field := httpField(doc, matches); field != "" {
				at.httpOnly(doc, field)
				continue
			}
			out := c.rule(&at, doc, []mesh.Match{{Span: doc.Span}})
			out.Timeout, out.TimeoutAt, out.Retry = 0, source.Span{}, nil
			if len(out.To) == 0 {
				continue
			}
			return out
		}
	}
	return c.defaultRule(s, p)
}

// connectionOf is the first rule that a route has for connections to the port (Istio's
// tcp); nil where it has none, or not all clients see the route.
func (c *checker) connectionOf(s *site, p *Port, r *routing) *Rule {
	if r.clients != nil {
		return nil
	}
	at := location{site: s, port: p, routing: r, diags: &s.diags}
	for _, doc := range r.doc.Connections {
		if matches := matchesAt(doc, p.Number, nil); len(matches) == 0 || !matchesAll(matches[0]) {
			continue
		}
		out := c.rule(&at, doc, []mesh.Match{{Span: doc.Span}})
		out.Timeout, out.TimeoutAt, out.Retry = 0, source.Span{}, nil
		if len(out.To) > 0 {
			return out
		}
	}
	return nil
}

// noConnections says once that a route of Istio or the Gateway API, which has http
// rules alone, does nothing for a service without requests.
func (s *site) noConnections(r *routing, p *Port) {
	if len(r.doc.Rules) == 0 || p != s.svc.Ports[0] || slices.ContainsFunc(s.ports, func(p mesh.ServicePort) bool { return p.Protocol.IsHTTP() }) {
		return
	}
	report(&s.diags, r.doc.Origin, diag.Diagnostic{
		Code: HTTPOnly, Severity: diag.Warning, Span: r.doc.Rules[0].Span,
		Message: fmt.Sprintf("the http rules of %s do nothing: no port of service %s speaks HTTP", r.doc.Object(), s.key),
		Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		Fix:     &diag.Fix{Message: "name the port http, or begin its name with http-, if it does"},
	})
}

// httpField names what a rule says about requests, "" where nothing.
func httpField(doc *mesh.Rule, matches []mesh.Match) string {
	switch {
	case slices.ContainsFunc(matches, func(m mesh.Match) bool { return !matchesAll(m) }):
		return "match"
	case doc.Redirect != nil:
		return "redirect"
	case doc.Respond != nil:
		return "respond"
	case doc.Rewrite != nil:
		return "rewrite"
	case doc.RequestHeaders != nil || doc.ResponseHeaders != nil:
		return "headers"
	case doc.Retry != nil:
		return "retry"
	case doc.Fault != nil:
		return "fault"
	case doc.Timeout != nil:
		return "timeout"
	case doc.IdleTimeout != nil:
		return "streamIdleTimeout"
	case doc.MaxStream != nil:
		return "maxStreamDuration"
	case len(doc.Mirrors) > 0:
		return "mirror"
	case doc.CORS != nil:
		return "cors"
	case doc.Sticky != nil:
		return "sticky"
	case slices.ContainsFunc(doc.To, func(d mesh.Destination) bool { return d.RequestHeaders != nil || d.ResponseHeaders != nil }):
		return "headers"
	}
	return ""
}

// httpOnly reports a rule about requests on a port without any, unless the
// service has HTTP ports too and the rule does not name this one.
func (at *location) httpOnly(doc *mesh.Rule, field string) {
	named := slices.ContainsFunc(doc.Matches, func(m mesh.Match) bool { return slices.Contains(m.Ports, at.port.Number) })
	if !named && slices.ContainsFunc(at.site.ports, func(p mesh.ServicePort) bool { return p.Protocol.IsHTTP() }) {
		return
	}
	at.report(diag.Diagnostic{
		Code: HTTPOnly, Severity: diag.Error, Span: doc.Span,
		Message: fmt.Sprintf("rule %q says %q about requests, but port %d of service %s is %s: there are only connections", doc.Name, field, at.port.Number, at.site.key, at.port.Protocol),
		Related: []diag.Related{{Span: at.site.origin.Span, Message: "the service"}},
	})
}
