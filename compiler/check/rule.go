package check

import (
	"slices"
	"strconv"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// table fills the route table of a port: the rules of the routes in force, and
// the service itself where they leave requests to it.
func (c *checker) table(s *site, p *Port) {
	if !p.Protocol.IsHTTP() {
		p.Rules = []*Rule{c.connectionRule(s, p)}
		return
	}
	open := true // whether a request may reach the end of the table
	for _, group := range groups(s.routes, p.Number) {
		rules, closed := c.rulesOf(s, p, group)
		p.Rules = append(p.Rules, rules...)
		open = open && !(closed && group[0].clients == nil)
	}
	if open && !(s.virtual && len(s.routes) > 0) {
		p.Rules = append(p.Rules, c.defaultRule(s, p))
	}
}

// groups are the routes of a port whose rules make one table each, in order.
func groups(routes []*routing, port uint32) (out [][]*routing) {
	for _, r := range routes {
		if !r.at(port) {
			continue
		}
		if last := len(out) - 1; last >= 0 && out[last][0].merges(r) {
			out[last] = append(out[last], r)
			continue
		}
		out = append(out, []*routing{r})
	}
	return out
}

// rulesOf builds the rules of routes that stand together on an HTTP port; closed
// reports that no client of theirs goes on to what follows.
func (c *checker) rulesOf(s *site, p *Port, group []*routing) (rules []*Rule, closed bool) {
	for _, r := range group {
		at := location{site: s, port: p, routing: r, diags: &s.diags}
		for _, doc := range r.doc.Rules {
			matches := matchesAt(doc, p.Number, r.clients)
			if len(matches) == 0 {
				continue
			}
			rule := c.rule(&at, doc, matches)
			if service, ok := s.doc.(*mesh.Service); ok && service.Calls != nil && r.doc.ByPrecedence && len(rule.To) > 0 {
				rule.called(beside(*service.Calls, doc))
			}
			rules = append(rules, rule)
			closed = closed || slices.ContainsFunc(doc.Matches, allOf(p.Number)) || len(doc.Matches) == 0
		}
	}
	r := group[0]
	if r.doc.ByPrecedence {
		rules = byPrecedence(rules)
	}
	if closed {
		return rules, true // rules after a catch-all stay: an analyzer reports them
	}
	if r.doc.ServiceWhenUnmatched {
		return rules, false
	}
	if r.clients != nil { // others go on to the next route
		rules = append(rules, &Rule{
			ID: r.doc.ID() + "/unmatched", Name: "unmatched", Span: r.doc.Span, Origin: r.doc.Origin,
			Matches: narrow([]mesh.Match{{}}, r.clients),
			Respond: &mesh.Respond{Status: 404, Span: r.doc.Span},
		})
	}
	return rules, true
}

// matchesAll reports whether a match, free of ports, takes every request of
// every client.
func matchesAll(m mesh.Match) bool {
	return anyPath(m.Path) && len(m.Methods) == 0 && m.Scheme == nil && m.Authority == nil &&
		len(m.Headers)+len(m.Query)+len(m.Cookies)+len(m.From)+len(m.SNI) == 0 && !m.GRPC
}

// anyPath reports a condition that every path meets.
func anyPath(path *mesh.StringMatch) bool {
	return path == nil || path.Kind == mesh.SegmentPrefix && path.Value == "/"
}

// allOf reports a written match that takes every request at a port.
func allOf(port uint32) func(mesh.Match) bool {
	return func(m mesh.Match) bool {
		return matchesAll(m) && atSidecars(&m) && (len(m.Ports) == 0 || slices.Contains(m.Ports, port))
	}
}

// matchesAt decides Match.Ports and the clients of a route: the matches that
// exist on a port.
func matchesAt(doc *mesh.Rule, port uint32, clients []string) []mesh.Match {
	written := doc.Matches
	if len(written) == 0 {
		written = []mesh.Match{{Span: doc.Span}}
	}
	kept := make([]mesh.Match, 0, len(written))
	for _, m := range written {
		if len(m.Ports) > 0 && !slices.Contains(m.Ports, port) || !atSidecars(&m) {
			continue
		}
		m.Ports, m.At = nil, nil
		kept = append(kept, m)
	}
	return narrow(kept, clients)
}

// atSidecars reports a match that is not for gateways alone.
func atSidecars(m *mesh.Match) bool {
	return len(m.At) == 0 || slices.Contains(m.At, mesh.AtSidecars)
}

// narrow restricts matches to the clients that see a route.
func narrow(matches []mesh.Match, clients []string) []mesh.Match {
	if clients == nil {
		return matches
	}
	kept := matches[:0]
	for _, m := range matches {
		m.From = narrowCallers(m.From, clients)
		if len(m.From) > 0 {
			kept = append(kept, m)
		}
	}
	return kept
}

func narrowCallers(from []mesh.Caller, clients []string) []mesh.Caller {
	if len(from) == 0 {
		if len(clients) == 0 {
			return nil
		}
		return []mesh.Caller{{Namespaces: clients}}
	}
	var out []mesh.Caller
	for _, f := range from {
		if len(f.Namespaces) == 0 {
			f.Namespaces = clients
		} else {
			f.Namespaces = slices.DeleteFunc(slices.Clone(f.Namespaces), func(ns string) bool { return !slices.Contains(clients, ns) })
		}
		if len(f.Namespaces) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// location is where a rule is being checked.
type location struct {
	site    *site
	port    *Port
	routing *routing
	diags   *diag.List
}

func (at *location) dialect() mesh.Dialect { return at.routing.doc.Dialect }

func (at *location) report(d diag.Diagnostic) { report(at.diags, at.routing.doc.Origin, d) }

// rule checks one rule and makes its defaults explicit.
func (c *checker) rule(at *location, doc *mesh.Rule, matches []mesh.Match) *Rule {
	r := &Rule{
		ID: doc.ID, Name: doc.Name, Span: doc.Span, Origin: at.routing.doc.Origin, Matches: matches,
		Redirect: doc.Redirect, Respond: doc.Respond, Rewrite: doc.Rewrite,
		RequestHeaders: doc.RequestHeaders, ResponseHeaders: doc.ResponseHeaders,
		IdleTimeout: doc.IdleTimeout, MaxStream: doc.MaxStream,
		Fault: doc.Fault, CORS: doc.CORS, Sticky: doc.Sticky,
	}
	if r.Redirect != nil && r.Redirect.RequestPort {
		r.Redirect = toPort(r.Redirect, at.port.Number)
	}
	c.checkRegexes(at, doc)
	at.checkAbsences(doc)
	at.checkLineBreaks(doc)
	if r.Redirect != nil || r.Respond != nil {
		return r
	}
	grpc := r.IsGRPC(at.port)
	r.Timeout = timeout(doc.Timeout, c.defaultsOf(at.dialect()), grpc)
	if doc.Timeout != nil {
		r.TimeoutAt = doc.Timeout.Span
	}
	r.To = c.destinations(at, doc)
	at.checkGRPC(r, grpc)
	r.Mirrors = c.mirrors(at, doc)
	if len(r.To) == 0 { // every destination was refused: never fall back to another
		r.Respond = &mesh.Respond{Status: 503, Span: doc.Span}
	}
	r.Retry = retry(doc.Retry, at.dialect(), c.defaultsOf(at.dialect()), hashes(r.To))
	return r
}

// IsGRPC: every request that the rule takes on the port is a call of gRPC, since the
// port has no other or the rule matches no other.
func (r *Rule) IsGRPC(p *Port) bool {
	return p.Protocol == mesh.GRPC || !slices.ContainsFunc(r.Matches, func(m mesh.Match) bool { return !m.GRPC })
}

// toPort makes the port of a redirect explicit. Sidecars are asked by HTTP, whose
// port goes without saying.
func toPort(r *mesh.Redirect, port uint32) *mesh.Redirect {
	out := *r
	out.RequestPort = false
	if port != 80 {
		out.Port = port
	}
	return &out
}

// defaultRule stands for the service itself.
func (c *checker) defaultRule(s *site, p *Port) *Rule {
	number := strconv.FormatUint(uint64(p.Number), 10)
	r := &Rule{
		ID: "Service/" + s.key + "/" + number + "/default", Name: "default",
		Span: s.origin.Span, Origin: s.origin, Default: true,
		Matches: []mesh.Match{{}},
		To:      []Destination{{Backend: p.Backends[0], Weight: 1, Span: s.origin.Span}},
	}
	if p.Protocol.IsHTTP() {
		r.Timeout = timeout(nil, c.set.Defaults, p.Protocol == mesh.GRPC)
		r.Retry = retry(nil, c.set.Defaults, c.set.Defaults, hashes(r.To))
		if doc, ok := s.doc.(*mesh.Service); ok && doc.Calls != nil {
			r.called(*doc.Calls)
		}
	}
	return r
}

// called is what the service itself says of calls to it.
func (r *Rule) called(by mesh.Calls) {
	if by.Timeout != nil {
		r.Timeout, r.TimeoutAt = by.Timeout.Value, by.Timeout.Span
	}
	if by.IdleTimeout != nil {
		r.IdleTimeout = by.IdleTimeout
	}
	if by.Retry != nil {
		r.Retry = by.Retry
	}
}

// beside is what is left of it beside a route: the timeouts of a route are one set, which
// overrides the service's, and so are its retries (Linkerd, "Configuring Timeouts" and
// "Configuring Retries").
func beside(by mesh.Calls, doc *mesh.Rule) mesh.Calls {
	if doc.Timeout != nil || doc.IdleTimeout != nil {
		by.Timeout, by.IdleTimeout = nil, nil
	}
	if doc.Retry != nil {
		by.Retry = nil
	}
	return by
}
