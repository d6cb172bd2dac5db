package reach

import (
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Action is what the caller's proxy does with a request.
type Action string

// Actions. None: there is no route; Reason says why.
const (
	ActionRoute    Action = "route"
	ActionRedirect Action = "redirect"
	ActionDirect   Action = "direct"
	ActionNone     Action = "none"
)

// Route is what the caller's proxy does with a request, and by which rule.
type Route struct {
	Action Action
	Rule   *check.Rule // nil where no rule decided
	Match  *mesh.Match // the alternative of Rule that held
	Reason string      // for people, where Rule alone does not say it

	Status   uint32 // that the caller's proxy answers itself; 0: the destination answers
	Location string // of a redirect
	Body     string // of a direct response

	Destinations []Destination
	Upstream     Upstream
	Timeout      time.Duration // 0: none
	Retries      uint32        // after the first request, for this request's method
	Mirrors      []Mirror
	Fault        *mesh.Fault
}

// Destination is a share of the requests.
type Destination struct {
	Backend *check.Backend
	Percent float64
	// Headers are the request's headers where the destination changes them itself.
	Headers map[string][]string
}

// Mirror is a destination of copies.
type Mirror struct {
	Backend *check.Backend
	Percent float64
}

// Upstream is the request as the destination's proxy receives it.
type Upstream struct {
	Path    string // with query
	Host    string
	Headers map[string][]string // names in lower case
}

// route picks the rule of a port and follows it.
func (e *Evaluator) route(port *check.Port, client *check.Workload, m *message) Route {
	for _, rule := range port.Rules {
		matches := rule.MatchesFor(client)
		for i := range matches {
			if acceptsPort(&matches[i], port.Number) && (!port.Protocol.IsHTTP() || e.patterns.match(&matches[i], m)) {
				return e.follow(rule, &matches[i], m)
			}
		}
	}
	return Route{Action: ActionNone, Status: 404, Reason: "no rule matches"}
}

func acceptsPort(m *mesh.Match, port uint32) bool {
	return len(m.Ports) == 0 || slices.Contains(m.Ports, port)
}

// follow applies a rule, which may change m.
func (e *Evaluator) follow(rule *check.Rule, match *mesh.Match, m *message) Route {
	out := Route{Rule: rule, Match: match, Timeout: rule.Timeout, Fault: rule.Fault}
	switch {
	case rule.Fault != nil && rule.Fault.AbortPercent >= 100:
		out.Action, out.Status, out.Reason = ActionDirect, rule.Fault.AbortStatus, "aborted by fault injection"
		return out
	case e.isPreflight(rule.CORS, m):
		out.Action, out.Status, out.Reason = ActionDirect, 200, "CORS preflight, answered by the caller's proxy"
		return out
	case rule.Redirect != nil:
		out.Action = ActionRedirect
		out.Status, out.Location = redirectStatus(rule.Redirect), e.location(rule.Redirect, match, m)
		return out
	case rule.Respond != nil:
		out.Action, out.Status, out.Body = ActionDirect, rule.Respond.Status, rule.Respond.Body
		return out
	}
	out.Action = ActionRoute
	out.Retries = retriesOf(rule.Retry, m.method)
	out.Mirrors = mirrorsOf(rule)
	e.rewrite(rule.Rewrite, match, m)
	out.Destinations = destinationsOf(rule, m)
	if len(rule.To) == 1 {
		apply(hostOnly(rule.To[0].RequestHeaders), m)
	}
	apply(rule.RequestHeaders, m)
	if rule.Rewrite != nil && rule.Rewrite.Host != "" {
		m.authority = rule.Rewrite.Host
	}
	out.Upstream = Upstream{Path: m.pathAndQuery(), Host: m.authority, Headers: m.headers}
	return out
}

// destinationsOf shares the requests by weight. A destination's own header
// changes come before the rule's (Envoy's order of headers to add).
func destinationsOf(rule *check.Rule, m *message) []Destination {
	total := float64(max(1, rule.TotalWeight()))
	out := make([]Destination, 0, len(rule.To))
	for i := range rule.To {
		d := Destination{Backend: rule.To[i].Backend, Percent: 100 * float64(rule.To[i].Weight) / total}
		if ops := rule.To[i].RequestHeaders; ops != nil {
			changed := m.clone()
			apply(ops, changed)
			apply(rule.RequestHeaders, changed)
			d.Headers = changed.headers
		}
		out = append(out, d)
	}
	return out
}

func mirrorsOf(rule *check.Rule) []Mirror {
	out := make([]Mirror, 0, len(rule.Mirrors))
	for _, m := range rule.Mirrors {
		out = append(out, Mirror(m))
	}
	return out
}

// retriesOf returns how often a request may be repeated.
func retriesOf(r *mesh.Retry, method string) uint32 {
	if r == nil || r.Methods != nil && !slices.Contains(r.Methods, method) {
		return 0
	}
	return r.Attempts
}

// apply changes headers as Envoy's HeaderParser does: removals first. Host is the
// authority.
func apply(ops *mesh.HeaderOps, m *message) {
	if ops == nil {
		return
	}
	for _, name := range ops.Remove {
		delete(m.headers, strings.ToLower(name))
	}
	for _, h := range ops.Set {
		m.set(strings.ToLower(h.Name), []string{h.Value})
	}
	for _, h := range ops.Add {
		name := strings.ToLower(h.Name)
		m.set(name, append(slices.Clip(m.headers[name]), h.Value))
	}
}

// hostOnly is the part of ops that sets the host, which one field of the route
// says for the rule and its only destination.
func hostOnly(ops *mesh.HeaderOps) *mesh.HeaderOps {
	if ops == nil {
		return nil
	}
	out := &mesh.HeaderOps{}
	for _, h := range slices.Concat(ops.Set, ops.Add) {
		if strings.EqualFold(h.Name, "host") || h.Name == ":authority" {
			out.Set = append(out.Set, h)
		}
	}
	return out
}

func (m *message) set(name string, values []string) {
	if name == "host" || name == ":authority" {
		m.authority = values[len(values)-1]
		return
	}
	m.headers[name] = values
}

// isPreflight is Envoy's CORS filter: OPTIONS with Origin and
// Access-Control-Request-Method, from an origin that the rule allows.
func (e *Evaluator) isPreflight(cors *mesh.CORS, m *message) bool {
	if cors == nil || m.method != "OPTIONS" {
		return false
	}
	origin, hasOrigin := m.header("origin")
	method, _ := m.header("access-control-request-method")
	return hasOrigin && method != "" && e.patterns.anyOf(cors.AllowOrigins, origin)
}
