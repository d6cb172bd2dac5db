package gatewayapi

import (
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// tlsRoute leads connections by the server name that they ask for.
func (t *translator) tlsRoute(spec *load.Node) {
	t.connections(spec)
	if len(spec.ItemsOf("hostnames")) == 0 {
		d := t.Wrong(t.At(spec, "hostnames"), "the TLSRoute has no hostnames")
		d.SetFix("write hostnames with the server names that clients ask for")
	}
}

// tcpRoute leads all connections of a listener.
func (t *translator) tcpRoute(spec *load.Node) { t.connections(spec) }

// connections reads the one rule of a route that sees no requests.
func (t *translator) connections(spec *load.Node) {
	route := &mesh.Route{Origin: t.Origin}
	t.parents(spec, route)
	t.hostnames(spec, route)
	rules := spec.ItemsOf("rules")
	if len(rules) == 0 {
		t.Wrong(t.At(spec, "rules"), "the %s has no rule", t.Kind)
	}
	for i, n := range rules {
		if i > 0 {
			d := t.Wrong(n.Span, "a %s has one rule, which takes every connection: no other would get any", t.Kind)
			d.SetFix("put the backends into one rule, or write a route for other hostnames or another listener")
			break
		}
		r := &mesh.Rule{Name: translate.RuleName(n, i), Span: t.At(n, "name"), Matches: []mesh.Match{{Span: n.Span}}}
		r.ID = route.ID() + "/" + r.Name
		t.backends(n, r)
		if len(n.ItemsOf("backendRefs")) == 0 {
			t.Wrong(n.Span, "rule %q has no backendRefs: it would refuse every connection", r.Name)
		}
		if len(r.To) > 0 {
			route.Connections = append(route.Connections, r)
		}
	}
	t.out.Routes = []*mesh.Route{route}
}

// onlyGateways reports a kind whose parents are no Services: a sidecar sends connections to the service
// itself.
func (t *translator) onlyGateways() bool { return t.Kind == "TLSRoute" || t.Kind == "TCPRoute" }
