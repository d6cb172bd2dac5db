package istio

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// meshGateway is Istio's name for all sidecars.
const meshGateway = "mesh"

func (t *translator) virtualService(spec *load.Node) {
	route := &mesh.Route{Origin: t.Origin, ExportTo: t.exportTo(spec)}
	t.routeGateways(spec, route)
	t.hosts(spec, route)
	// Istio answers 404 where no rule matches; a document without http rules says
	// nothing about requests.
	route.ServiceWhenUnmatched = len(spec.ItemsOf("http")) == 0
	if route.ServiceWhenUnmatched && spec.Get("tls") == nil && spec.Get("tcp") == nil {
		t.Wrong(t.At(spec, "http"), "the VirtualService has no http rules")
	}
	for i, n := range spec.ItemsOf("http") {
		route.Rules = append(route.Rules, t.rules(n, translate.RuleName(n, i))...)
	}
	route.Identify()
	t.connectionRules(spec, route)
	t.out.Routes = []*mesh.Route{route}
}

// hosts reads what the route is about. A short name is looked up in the
// document's namespace.
func (t *translator) hosts(spec *load.Node, route *mesh.Route) {
	if len(spec.ItemsOf("hosts")) == 0 {
		t.delegated(spec, route)
		return
	}
	seen := map[string]source.Span{}
	for _, n := range spec.TextsOf("hosts") {
		host := strings.ToLower(n.Text)
		t.unique(seen, host, n.Span, "host")
		if host == "*" && !route.OffMesh {
			d := t.Wrong(n.Span, "host * is not allowed for sidecars: it would take the requests to every service")
			d.SetFix("name the services, or bind the route to a gateway only")
			continue
		}
		if t.hostName(n) {
			route.Targets = append(route.Targets, mesh.RouteTarget{Ref: t.ref(n)})
			if len(route.Gateways) > 0 {
				route.Hosts = append(route.Hosts, mesh.HostName{Name: strings.TrimSuffix(host, "."), Span: n.Span})
			}
		}
	}
}

// delegated is for a document without hosts: rules for others to delegate to. Its
// gateways are those of the root, and only http can be delegated (Istio, Delegate).
func (t *translator) delegated(spec *load.Node, route *mesh.Route) {
	if len(spec.ItemsOf("http")) == 0 {
		d := t.Wrong(t.At(spec, "hosts"), "the VirtualService has no hosts")
		d.SetFix("write hosts: [the-service]")
		return
	}
	for _, key := range []string{"gateways", "tls", "tcp"} {
		if len(spec.ItemsOf(key)) > 0 {
			d := t.Wrong(t.At(spec, key), "the VirtualService has no hosts, which makes it a delegate, and a delegate has no %s", key)
			d.SetFix("write hosts: [the-service], or remove " + key)
		}
	}
	route.Delegate, route.OffMesh, route.Gateways = true, true, nil
}

// ref names a service by its host.
func (t *translator) ref(n *load.Node) mesh.Ref {
	return mesh.Ref{Host: strings.ToLower(n.Text), Namespace: t.Namespace, Span: n.Span}
}

// hostName checks a DNS name, which may begin with a wildcard, or an IP address.
func (t *translator) hostName(n *load.Node) bool {
	name := strings.ToLower(n.Text)
	if _, err := netip.ParseAddr(name); err == nil || name == "*" || translate.Placeholder(name) {
		return true
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "*."), ".")
	for label := range strings.SplitSeq(name, ".") {
		// Istio takes underscores, which internal DNS has.
		if !translate.IsLabel(strings.ReplaceAll(label, "_", "x")) {
			d := t.Wrong(n.Span, "host %q is no DNS name", n.Text)
			if strings.ContainsAny(n.Text, ":/") {
				d.SetFix("write the name alone, without scheme, port or path")
			}
			return false
		}
	}
	return len(name) <= 253
}

// exportTo reads the namespaces that see the document; nil is all.
func (t *translator) exportTo(spec *load.Node) []string {
	var out []string
	seen := map[string]source.Span{}
	list := spec.TextsOf("exportTo")
	for _, n := range list {
		namespace := n.Text
		if namespace == "." {
			namespace = t.Namespace
		}
		t.unique(seen, namespace, n.Span, "namespace")
		switch {
		case n.Text == "*" && len(list) > 1:
			t.Wrong(n.Span, "exportTo * is every namespace: remove it or the others")
		case n.Text != "." && n.Text != "*" && !translate.IsLabel(n.Text):
			t.Wrong(n.Span, "exportTo %q: want a namespace, . for this one or * for all", n.Text)
		}
		out = append(out, n.Text)
	}
	return out
}

// routeGateways decides who takes the route: sidecars, gateways or both.
func (t *translator) routeGateways(spec *load.Node, route *mesh.Route) {
	list := spec.TextsOf("gateways")
	for _, n := range list {
		if n.Text == meshGateway {
			continue
		}
		namespace, name, _ := strings.Cut(t.gatewayName(n), "/")
		route.Gateways = append(route.Gateways, mesh.GatewayRef{Namespace: namespace, Name: name, Span: n.Span})
	}
	onMesh := len(list) == 0 || slices.ContainsFunc(list, func(n *load.Node) bool { return n.Text == meshGateway })
	route.OffMesh = !onMesh
}

// gatewayName qualifies "name", "namespace/name" and the old form
// "name.namespace.svc.cluster.local".
func (t *translator) gatewayName(n *load.Node) string {
	namespace, name, found := strings.Cut(n.Text, "/")
	if !found {
		namespace, name = t.Namespace, n.Text
		if first, rest, dotted := strings.Cut(n.Text, "."); dotted {
			name = first
			namespace, _, _ = strings.Cut(rest, ".")
		}
	}
	if namespace == "." {
		namespace = t.Namespace
	}
	if (!translate.IsLabel(namespace) || !translate.IsLabel(name)) && !translate.Placeholder(n.Text) {
		t.Wrong(n.Span, "gateway %q: want name or namespace/name", n.Text)
	}
	return namespace + "/" + name
}

// printableNames checks names that become part of ids, logs and metrics.
func (t *translator) printableNames(n *load.Node) {
	for _, named := range slices.Concat(n.ItemsOf("match"), []*load.Node{n}) {
		if strings.ContainsFunc(named.TextOf("name"), unicode.IsControl) {
			t.Wrong(t.At(named, "name"), "name %q has a control character", named.TextOf("name"))
		}
	}
}

// rules reads one http rule. Istio names the routes of a rule by the names of
// its matches too, so that a rule with named matches is one rule for each.
func (t *translator) rules(n *load.Node, name string) []*mesh.Rule {
	r := &mesh.Rule{Name: name, Span: n.Span}
	if n.Get("name") != nil {
		r.Span = t.At(n, "name")
	}
	t.printableNames(n)
	t.actions(n, r)
	t.forwarding(n, r)
	list := n.ItemsOf("match")
	if len(list) == 0 {
		return []*mesh.Rule{r}
	}
	var out []*mesh.Rule
	named := r.DelegateTo == nil && slices.ContainsFunc(list, func(m *load.Node) bool { return m.TextOf("name") != "" })
	for i, m := range list {
		match := t.match(m)
		switch {
		case named || len(out) == 0:
			one := *r
			if named {
				one.Name += "." + translate.RuleName(m, i)
			}
			one.Matches = []mesh.Match{match}
			out = append(out, &one)
		default:
			out[0].Matches = append(out[0].Matches, match)
		}
	}
	return out
}
