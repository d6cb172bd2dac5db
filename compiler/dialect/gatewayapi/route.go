package gatewayapi

import (
	"slices"
	"strconv"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// route reads what all kinds of routes share; rule reads one of its rules, and none
// is for a route without.
func (t *translator) route(spec *load.Node, rule func(*load.Node, *mesh.Rule), none func(*mesh.Route)) {
	route := &mesh.Route{Origin: t.Origin, ByPrecedence: true}
	servers := t.parents(spec, route)
	t.hostnames(spec, route)
	names := map[string]source.Span{}
	for i, n := range spec.ItemsOf("rules") {
		r := &mesh.Rule{Name: translate.RuleName(n, i), Span: t.At(n, "name")}
		if n.Get("name") != nil {
			t.unique(names, r.Name, r.Span, "rule "+strconv.Quote(r.Name))
		}
		r.ID = route.ID() + "/" + r.Name
		rule(n, r)
		route.Rules = append(route.Rules, r)
	}
	if len(route.Rules) == 0 {
		none(route)
	}
	if len(servers) > 0 {
		t.serverRoute(spec, servers, route)
	}
	if !t.guards {
		t.out.Routes = []*mesh.Route{route}
	}
}

// parents decides whose requests the route is about. For a Service in the route's
// namespace it is a producer route, for one elsewhere a consumer route (GEP-1294);
// package check tells them apart. For a Gateway it is for requests from outside. Servers
// are Linkerd's.
func (t *translator) parents(spec *load.Node, route *mesh.Route) (servers []mesh.ObjectName) {
	seen := map[string]source.Span{}
	list := spec.ItemsOf("parentRefs")
	for _, n := range list {
		if isServer(n) {
			servers = append(servers, t.server(n)...)
			t.guards = true
			continue
		}
		t.parent(n, route, seen)
	}
	if len(list) == 0 {
		d := t.Warn(t.At(spec, "parentRefs"), "the route has no parentRefs: nobody takes it")
		d.SetFix(`write parentRefs with a Gateway, or with a Service: [{group: "", kind: Service, name: the-service}]`)
	}
	route.OffMesh = len(route.Targets) == 0
	t.guards = t.guards && route.OffMesh && len(route.Gateways) == 0
	return servers
}

func (t *translator) parent(n *load.Node, route *mesh.Route, seen map[string]source.Span) {
	own := group
	if t.linkerd() {
		own = linkerdGroup
	}
	groupName, kind := textOr(n, "group", own), textOr(n, "kind", "Gateway")
	namespace, name := textOr(n, "namespace", t.Namespace), n.TextOf("name")
	section := n.TextOf("sectionName")
	port := t.port(n, "port")
	if !t.unique(seen, strings.Join([]string{groupName, kind, namespace, name, section, strconv.Itoa(int(port))}, "/"), n.Span, "the parent") {
		return
	}
	switch {
	case groupName == group && (kind == "Gateway" || kind == "ListenerSet") && !t.linkerd():
		route.Gateways = append(route.Gateways, mesh.GatewayRef{
			Set: kind == "ListenerSet", Namespace: namespace, Name: name, Listener: section, Port: port, Span: t.At(n, "name"),
		})
	case core(groupName) && kind == "Service" && !t.onlyGateways():
		target := mesh.RouteTarget{
			Ref:  mesh.Ref{Name: name, Namespace: namespace, Span: t.At(n, "name")},
			Port: port, PortName: section, PortAt: t.At(n, "sectionName"),
		}
		if port != 0 {
			target.PortAt = t.At(n, "port")
		}
		route.Targets = append(route.Targets, target)
	case t.onlyGateways():
		d := t.Unsupported(t.At(n, "kind"), "parent of kind %s (%s) is not supported for a %s", kind, orCore(groupName), t.Kind)
		d.SetFix("name a Gateway; sidecars send connections to the service itself, and a native MeshRoute splits them by weight")
	default:
		d := t.Unsupported(t.At(n, "kind"), "parent of kind %s (%s) is not supported", kind, orCore(groupName))
		d.SetFix(`name a Gateway, or a Service: {group: "", kind: Service, name: ...}`)
	}
}

// core reports Kubernetes' core group, which many write as "core".
func core(groupName string) bool { return groupName == "" || groupName == "core" }

func orCore(groupName string) string {
	if groupName == "" {
		return "core"
	}
	return groupName
}

// hostnames are for gateways. In a mesh they select nothing: GEP-1294 wants nothing
// inferred of them. Linkerd compares them.
func (t *translator) hostnames(spec *load.Node, route *mesh.Route) {
	f := spec.Field("hostnames")
	if t.linkerd() && len(spec.ItemsOf("hostnames")) > 0 && len(route.Targets) > 0 {
		d := t.Unsupported(f.KeySpan, "hostnames of a route whose parent is a Service are not supported")
		d.SetFix("match the header Host instead")
		return
	}
	for _, v := range spec.TextsOf("hostnames") {
		h := mesh.HostName{Name: strings.ToLower(v.Text), Span: v.Span}
		if !slices.ContainsFunc(route.Hosts, func(o mesh.HostName) bool { return o.Name == h.Name }) {
			route.Hosts = append(route.Hosts, h)
		}
	}
	if len(route.Hosts) > 0 && len(route.Targets) > 0 && len(route.Gateways) == 0 {
		d := t.Warn(f.KeySpan, "hostnames mean nothing where the parent is a Service: the route takes requests of every host of the service")
		d.SetFix("match the header Host instead, or leave them out")
		route.Hosts = nil
	}
}

// unanswered gives a rule that sends nowhere the answer that the specification
// demands: never the service itself. Linkerd's own kind has a rule without backends go to
// its parent (policy-controller, convert_outbound_route), and one whose backends
// were all refused answers nobody.
func (t *translator) unanswered(n *load.Node, r *mesh.Rule, status uint32) {
	if t.guards || r.Redirect != nil || len(r.To) > 0 || t.linkerd() && len(n.ItemsOf("backendRefs")) == 0 {
		return
	}
	r.Respond = &mesh.Respond{Status: status, Span: r.Span}
	if len(n.ItemsOf("backendRefs")) == 0 {
		d := t.Warn(r.Span, "rule %q has no backendRefs: it answers %d", r.Name, status)
		d.SetFix("name the Service that answers; the parent is not meant by itself")
	}
}

// backends reads where a rule sends its requests.
func (t *translator) backends(n *load.Node, r *mesh.Rule) {
	for _, b := range n.ItemsOf("backendRefs") {
		d, ok := t.backend(b)
		if !ok {
			continue
		}
		if v := b.Get("weight"); v != nil {
			weight, good := t.number(b, "weight", 0, 1_000_000)
			d.Weight, d.HasWeight, d.FaultyWeight = weight, good, !good
		}
		t.backendFilters(b, &d)
		r.To = append(r.To, d)
	}
}

// backend reads a reference to a Service and its port; ok is false where it is
// something else.
func (t *translator) backend(n *load.Node) (d mesh.Destination, ok bool) {
	groupName, kind := textOr(n, "group", ""), textOr(n, "kind", "Service")
	if !core(groupName) || kind != "Service" {
		d := t.Unsupported(t.At(n, "kind"), "backend of kind %s (%s) is not supported", kind, orCore(groupName))
		d.Reason = string(gateway.RouteReasonInvalidKind)
		d.SetFix("name a Service; an ExternalService is reached by a native MeshRoute")
		return mesh.Destination{}, false
	}
	if n.Kind == load.Map && n.Get("port") == nil {
		d := t.Wrong(n.Span, "backend %s has no port, which a Service needs", n.TextOf("name"))
		d.SetFix("write port: with the Service's port")
	}
	ref := &mesh.Ref{Name: n.TextOf("name"), Namespace: textOr(n, "namespace", t.Namespace), Span: t.At(n, "name")}
	return mesh.Destination{Service: ref, Port: t.port(n, "port"), PortAt: t.At(n, "port"), Span: n.Span}, true
}

// backendFilters are for the requests of one backend: changes of headers, no others.
func (t *translator) backendFilters(n *load.Node, d *mesh.Destination) {
	for _, f := range t.filterList(n) {
		switch f.kind {
		case "RequestHeaderModifier":
			d.RequestHeaders = t.headerOps(f.value)
		case "ResponseHeaderModifier":
			d.ResponseHeaders = t.headerOps(f.value)
		default:
			d := t.Unsupported(f.at, "filter %s of a single backend is not supported", f.kind)
			d.SetFix("write it among the filters of the rule, or make a rule of its own of the backend")
		}
	}
}

// headersOf counts the headers of a match, of which the host is one.
func headersOf(m *mesh.Match) uint32 {
	n := len(m.Headers)
	if m.Authority != nil {
		n++
	}
	return uint32(n) //nolint:gosec // a document is shorter
}

// headers reads matches of headers. Of two with one name the first counts
// (HTTPHeaderMatch.name).
func (t *translator) headers(n *load.Node, m *mesh.Match) {
	seen := []string{}
	for _, h := range n.ItemsOf("headers") {
		name := strings.ToLower(h.TextOf("name"))
		if slices.Contains(seen, name) {
			t.Warn(t.At(h, "name"), "header %s is written twice: only the first counts", name)
			continue
		}
		seen = append(seen, name)
		value := t.value(h)
		if name == "host" {
			m.Authority = &value
			continue
		}
		m.Headers = append(m.Headers, mesh.HeaderMatch{Name: name, StringMatch: value})
	}
}

// value reads type and value of a match.
func (t *translator) value(n *load.Node) mesh.StringMatch {
	m := mesh.StringMatch{Value: n.TextOf("value"), Span: t.At(n, "value")}
	if t.choice(n, "type", "Exact", "RegularExpression") == "RegularExpression" {
		m.Kind = mesh.Regex
	}
	if v := n.Get("value"); v != nil && v.Kind == load.String && v.Text == "" {
		t.Wrong(v.Span, "value of %s is empty: want at least one character", n.TextOf("name"))
	}
	return m
}
