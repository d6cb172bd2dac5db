package native

import (
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (t *translator) meshRoute(spec *load.Node) {
	route := &mesh.Route{
		Origin:               t.Origin,
		ServiceWhenUnmatched: spec.TextOf("unmatched") == "service",
	}
	switch key := which(spec, "service", "externalService", "gateway", "parent"); key {
	case "service", "externalService":
		route.Targets = []mesh.RouteTarget{{Ref: t.ref(spec, key), External: key == "externalService"}}
		if f := spec.Field("hosts"); f != nil {
			t.Wrong(f.KeySpan, "hosts stands beside %s: it is for gateway, the hosts of a service follow from the service", key)
		}
	case "gateway":
		t.gatewayRoute(spec, route)
	default:
		t.refuse(spec, "hosts", "route a service or externalService")
		t.refuse(spec, "parent", "write the rules in the parent route")
	}
	if route.Gateways == nil {
		t.noServerNames(spec)
	}
	route.Rules = t.rules(spec)
	t.coverage(spec, route.Rules)
	t.out.Routes = []*mesh.Route{route}
}

func (t *translator) rules(spec *load.Node) []*mesh.Rule {
	list := spec.ItemsOf("rules")
	seen := map[string]source.Span{}
	var rules []*mesh.Rule
	for i, n := range list {
		t.unique(seen, n.Get("name"), "name")
		if n.Get("match") == nil && i < len(list)-1 {
			d := t.Wrong(t.At(n, "name"), "rule %q has no match and is not the last: it would take every request from the rules below", n.TextOf("name"))
			d.Related = []diag.Related{{Span: list[i+1].Span, Message: "never reached"}}
			d.Fix = &diag.Fix{Message: "move it to the end, or give it a match"}
		}
		rules = append(rules, t.rule(n))
	}
	return rules
}

// noServerNames refuses what sidecars do not match by: within the mesh the server
// name is the mesh's own.
func (t *translator) noServerNames(spec *load.Node) {
	for _, rule := range spec.ItemsOf("rules") {
		for _, m := range rule.ItemsOf("match") {
			t.refuse(m, "sni", "match server names in a route for a gateway")
		}
	}
}

// coverage demands that a route says what becomes of unmatched requests.
func (t *translator) coverage(spec *load.Node, rules []*mesh.Rule) {
	if spec.Get("unmatched") != nil || slices.ContainsFunc(rules, matchesAll) {
		return
	}
	d := t.Wrong(t.At(spec, "rules"), "unmatched is required: no rule matches everything")
	d.Fix = &diag.Fix{Message: "write unmatched: service (go to the service as if there were no route) or unmatched: not-found (404)"}
}

// matchesAll reports whether a rule evidently takes every request.
func matchesAll(r *mesh.Rule) bool {
	return len(r.Matches) == 0 || slices.ContainsFunc(r.Matches, func(m mesh.Match) bool {
		isRoot := m.Path != nil && m.Path.Kind == mesh.Prefix && m.Path.Value == "/" && !m.GRPC
		return (m.Path == nil || isRoot) &&
			len(m.Methods)+len(m.Headers)+len(m.Query)+len(m.Cookies)+len(m.Ports)+len(m.From)+len(m.SNI) == 0
	})
}

func (t *translator) rule(n *load.Node) *mesh.Rule {
	name := t.ruleName(n)
	r := &mesh.Rule{ID: t.ID() + "/" + name, Name: name, Span: t.At(n, "name")}
	for _, m := range n.ItemsOf("match") {
		r.Matches = append(r.Matches, t.match(m))
	}
	t.action(n, r)
	t.refuse(n, "delegate", "write the rules in this route")
	r.Rewrite = t.rewrite(n.Get("rewrite"), r.Matches)
	r.RequestHeaders = t.headerOps(n.Get("requestHeaders"))
	r.ResponseHeaders = t.headerOps(n.Get("responseHeaders"))
	t.timeouts(n, r)
	r.Retry = t.retry(n.Get("retry"))
	r.Mirrors = t.mirrors(n.Get("mirror"))
	r.CORS = t.cors(n.Get("cors"))
	r.Fault = t.fault(n.Get("fault"), name)
	r.Sticky = t.sticky(n, r)
	return r
}

func (t *translator) match(n *load.Node) mesh.Match {
	m := mesh.Match{
		Methods: methods(n),
		Headers: t.valueMatches(n, "headers"),
		Query:   t.valueMatches(n, "query"),
		Cookies: t.valueMatches(n, "cookies"),
		Ports:   ports(n),
		From:    t.callers(n.Get("from")),
		Span:    n.Span,
	}
	for _, v := range n.ItemsOf("sni") {
		m.SNI = append(m.SNI, mesh.HostName{Name: v.Text, Span: v.Span})
	}
	t.Exclusive(n, "grpc", "path", "gRPC's path follows from service and method")
	t.Exclusive(n, "grpc", "methods", "gRPC is always POST")
	if p := n.Get("path"); p != nil {
		path := t.pathMatch(p)
		m.Path = &path
	}
	if g := n.Get("grpc"); g != nil {
		m.GRPC, m.Path = true, t.grpc(g)
	}
	return m
}

// forwarding are the fields of a rule that mean something only where a request
// is sent on.
var forwarding = []string{
	"rewrite", "requestHeaders", "timeout", "streamIdleTimeout", "maxStreamDuration", "retry", "mirror", "sticky",
}

// action reads what the rule does; with no action it goes to the route's target.
func (t *translator) action(n *load.Node, r *mesh.Rule) {
	switch key := which(n, "to", "redirect", "respond", "delegate"); key {
	case "to":
		t.destinations(n, r)
		return
	case "redirect":
		r.Redirect = t.redirect(n.Get(key), r.Matches)
		t.withoutForwarding(n, key)
	case "respond":
		r.Respond = t.respond(n.Get(key))
		t.withoutForwarding(n, key)
	}
	if f := n.Field("totalWeight"); f != nil {
		t.Wrong(f.KeySpan, "totalWeight has no meaning without to")
	}
}

func (t *translator) withoutForwarding(n *load.Node, action string) {
	for _, key := range forwarding {
		if f := n.Field(key); f != nil {
			t.Wrong(f.KeySpan, "%s has no meaning beside %s: the request is not sent on", key, action)
		}
	}
}

func (t *translator) destinations(n *load.Node, r *mesh.Rule) {
	r.TotalWeight = 100
	if total := number(n, "totalWeight"); total != nil {
		r.TotalWeight = *total
	}
	for _, item := range n.ItemsOf("to") {
		r.To = append(r.To, t.destination(item))
	}
}

func (t *translator) destination(n *load.Node) mesh.Destination {
	weight := number(n, "weight")
	return mesh.Destination{
		Service:         t.destinationService(n),
		Version:         n.TextOf("version"),
		VersionAt:       t.At(n, "version"),
		Port:            port(n, "port"),
		PortAt:          t.At(n, "port"),
		Weight:          zero(weight),
		HasWeight:       weight != nil,
		FaultyWeight:    weight == nil && n.Get("weight") != nil,
		RequestHeaders:  t.headerOps(n.Get("requestHeaders")),
		ResponseHeaders: t.headerOps(n.Get("responseHeaders")),
		Span:            t.At(n, ""),
	}
}

// destinationService is nil for the route's own target.
func (t *translator) destinationService(n *load.Node) *mesh.Ref {
	if n.Get("service") != nil {
		ref := t.ref(n, "service")
		return &ref
	}
	if f := n.Field("namespace"); f != nil {
		t.Wrong(f.KeySpan, "namespace stands without service: write the service's name too")
	}
	return nil
}
