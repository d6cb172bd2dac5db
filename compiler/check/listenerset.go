package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// listenerSets puts the listeners of ListenerSets behind those of their gateways, by
// namespace and name: of two that conflict the earlier is used (ListenerSetSpec.listeners;
// the oldest first, which files do not know).
func (c *checker) listenerSets() {
	c.in.parents = map[string]string{}
	cloned := map[string]bool{}
	for _, set := range c.in.ListenerSets {
		at := slices.IndexFunc(c.in.Gateways, func(g *mesh.Gateway) bool {
			return g.Dialect == mesh.GatewayAPI && g.Key() == set.Gateway.Key()
		})
		if at < 0 {
			c.withoutGateway(set)
			continue
		}
		g := c.in.Gateways[at]
		if !c.takesSet(g, set) {
			report(&c.diags, set.Origin, diag.Diagnostic{
				Code: GatewayRoutes, Severity: diag.Error, Span: set.Gateway.Span, Reason: "NotAllowed",
				Message: fmt.Sprintf("gateway %s takes no ListenerSet of namespace %s", g.Key(), set.Namespace),
				Related: []diag.Related{{Span: g.Span, Message: "its allowedListeners say whose; without any it takes none"}},
				Fix:     &diag.Fix{Message: "ask the gateway's owner for allowedListeners with the namespace"},
			})
			continue
		}
		if !cloned[g.Key()] {
			merged := *g // documents are not ours to change
			merged.Listeners = slices.Clone(g.Listeners)
			g, cloned[g.Key()] = &merged, true
			c.in.Gateways[at] = g
		}
		g.Listeners = append(g.Listeners, set.Listeners...)
		c.in.parents[set.Key()] = g.Key()
	}
}

func (c *checker) takesSet(g *mesh.Gateway, set *mesh.ListenerSet) bool {
	switch from := g.Sets; {
	case from == nil:
		return false
	case from.Any:
		return true
	case from.Labels != nil:
		return from.Labels.Selects(c.labelsOf(set.Namespace))
	}
	return set.Namespace == g.Namespace
}

// withoutGateway reports a set whose gateway is not compiled: it belongs to another
// controller, as the gateway does, or there is none.
func (c *checker) withoutGateway(set *mesh.ListenerSet) {
	d := diag.Diagnostic{Code: UnknownGateway, Severity: diag.Error, Span: set.Gateway.Span, Message: "no gateway " + set.Gateway.Key()}
	switch {
	case c.in.foreign[set.Gateway.Key()]:
		c.in.parents[set.Key()] = ""
		d.Severity = diag.Warning
		d.Message = fmt.Sprintf("gateway %s belongs to another controller: neither its ListenerSets nor their routes are compiled", set.Gateway.Key())
	case c.opt.AssumeExternal:
		c.in.parents[set.Key()] = ""
		return
	default:
		var names []string
		for _, g := range c.in.Gateways {
			names = append(names, g.Key())
		}
		d.Fix = suggest(set.Gateway.Key(), names)
	}
	report(&c.diags, set.Origin, d)
}

// unknownSet reports a ListenerSet that a route names and no gateway has; elsewhere is
// true where the gateway is none of ours.
func (c *checker) unknownSet(doc *mesh.Route, ref mesh.GatewayRef) (elsewhere bool) {
	if _, known := c.in.parents[ref.Key()]; known || c.opt.AssumeExternal {
		return true
	}
	d := diag.Diagnostic{Code: UnknownGateway, Severity: diag.Error, Span: ref.Span, Message: "no ListenerSet " + ref.Key()}
	var names []string
	for _, set := range c.in.ListenerSets {
		names = append(names, set.Key())
		if set.Key() == ref.Key() {
			d.Message = fmt.Sprintf("ListenerSet %s is attached to no gateway", ref.Key())
			d.Related = []diag.Related{{Span: set.Span, Message: "the ListenerSet"}}
		}
	}
	if d.Related == nil {
		d.Fix = suggest(ref.Key(), names)
	}
	report(&c.now, doc.Origin, d)
	return false
}
