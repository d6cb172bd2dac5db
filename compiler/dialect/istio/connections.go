package istio

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// connectionRules reads the tls and tcp rules of a VirtualService.
func (t *translator) connectionRules(spec *load.Node, route *mesh.Route) {
	for _, kind := range []string{"tls", "tcp"} {
		for i, n := range spec.ItemsOf(kind) {
			r := &mesh.Rule{Name: kind + translate.RuleName(n, i), Span: n.Span}
			for _, item := range n.ItemsOf("route") {
				r.To = append(r.To, t.weighted(item))
			}
			if len(r.To) == 0 {
				t.Wrong(n.Span, "the rule has no route")
				continue
			}
			t.someWeight(r, t.At(n, "route"))
			list := n.ItemsOf("match")
			if len(list) == 0 && kind == "tls" {
				t.Wrong(n.Span, "a tls rule has match with sniHosts")
				continue
			}
			taken := len(list) == 0
			for _, m := range list {
				if match, concerns := t.connectionMatch(m, kind, route); concerns {
					r.Matches, taken = append(r.Matches, match), true
				}
			}
			if taken {
				r.ID = route.ID() + "/" + r.Name
				route.Connections = append(route.Connections, r)
			}
		}
	}
}

func (t *translator) connectionMatch(n *load.Node, kind string, route *mesh.Route) (m mesh.Match, concerns bool) {
	m = mesh.Match{Span: n.Span, At: t.matchGateways(n), From: t.callers(n)}
	if port := t.port(n, "port"); port != 0 {
		m.Ports = []uint32{port}
	}
	if len(m.From) > 0 && !route.OffMesh {
		t.Unsupported(n.Span, "connections by who calls are not supported: a %s rule is for all callers", kind)
	}
	if kind != "tls" {
		return m, true
	}
	names := n.TextsOf("sniHosts")
	if len(names) == 0 {
		t.Wrong(n.Span, "the match of a tls rule has no sniHosts")
		return m, false
	}
	for _, v := range names {
		if t.hostName(v) {
			m.SNI = append(m.SNI, mesh.HostName{Name: strings.ToLower(v.Text), Span: v.Span})
		}
	}
	if !route.OffMesh {
		d := t.Unsupported(t.At(n, "sniHosts"), "tls rules are supported at gateways, and not yet for sidecars")
		d.SetFix("bind the route to gateways only: sidecars send TLS to the service itself")
		return m, false
	}
	return m, len(m.SNI) > 0
}

// matchGateways are a match's own gateways, which stand instead of the route's.
func (t *translator) matchGateways(n *load.Node) (at []string) {
	for _, g := range n.TextsOf("gateways") {
		if g.Text == meshGateway {
			at = append(at, mesh.AtSidecars)
		} else {
			at = append(at, t.gatewayName(g))
		}
	}
	return at
}
