package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// foreignGateways leaves out the gateways of the Gateway API that belong to another
// controller, which their GatewayClass says.
func (c *checker) foreignGateways() {
	classes := map[string]*mesh.GatewayClass{}
	var names []string
	for _, class := range c.in.GatewayClasses {
		classes[class.Name] = class
		names = append(names, class.Name)
	}
	c.in.foreign = map[string]bool{}
	c.in.Gateways = slices.DeleteFunc(c.in.Gateways, func(g *mesh.Gateway) bool {
		if g.Dialect != mesh.GatewayAPI {
			return false
		}
		d := diag.Diagnostic{Code: UnknownGateway, Span: g.ClassAt}
		switch class := classes[g.Class]; {
		case class == nil && c.opt.AssumeExternal:
			return false
		case class == nil:
			d.Severity, d.Message = diag.Error, "no GatewayClass "+g.Class
			if d.Fix = suggest(g.Class, names); d.Fix == nil {
				d.Fix = &diag.Fix{Message: fmt.Sprintf("declare the GatewayClass, with controllerName: %s where the gateway is this mesh's", mesh.GatewayController)}
			}
			report(&c.diags, g.Origin, d)
			return false
		case class.Controller == mesh.GatewayController:
			return false
		default:
			c.in.foreign[g.Key()] = true
			d.Severity = diag.Warning
			d.Message = fmt.Sprintf("gateway %s belongs to the controller %s: neither it nor its routes are compiled", g.Key(), class.Controller)
			d.Related = []diag.Related{{Span: class.Span, Message: "its GatewayClass"}}
			report(&c.diags, g.Origin, d)
			return true
		}
	})
}

// gateKey tells the Gateway API's gateways from those of other dialects: in a cluster
// they may have one name.
func gateKey(dialect mesh.Dialect, key string) string {
	if dialect == mesh.GatewayAPI {
		return "gatewayapi/" + key
	}
	return key
}

// gateOf finds the gateway that a route names, nil where there is none of its
// dialect. Native routes may name every one.
func (c *checker) gateOf(doc *mesh.Route, ref mesh.GatewayRef) *gate {
	key := ref.Key()
	if ref.Set {
		key = c.in.parents[key]
	}
	g := c.gates[gateKey(doc.Dialect, key)]
	if g == nil && doc.Dialect == mesh.Native {
		return c.gates[gateKey(mesh.GatewayAPI, ref.Key())]
	}
	return g
}

// admits reports whether a listener takes routes of the document's namespace and kind.
func (c *checker) admits(doc *mesh.Route, g *mesh.Gateway, l *mesh.Listener) bool {
	if doc.Dialect == mesh.GatewayAPI && l.RouteKinds != nil && !slices.Contains(l.RouteKinds, doc.Kind) {
		return false
	}
	if l.RoutesFromLabels != nil {
		return l.RoutesFromLabels.Selects(c.namespaceLabels(doc.Namespace))
	}
	own := g.Namespace
	if l.Set != nil {
		own = l.Set.Namespace
	}
	return allows(doc.Namespace, l.RoutesFrom, l.AnyNamespace, own)
}

// namespaceLabels are those of the Namespace's document, and the one that Kubernetes
// gives to each by itself.
func (c *checker) namespaceLabels(name string) map[string]string {
	if known := c.nsLabels[name]; known != nil {
		return known // every route at every listener asks
	}
	labels := c.labelsOf(name)
	c.nsLabels[name] = labels
	return labels
}

func (c *checker) labelsOf(name string) map[string]string {
	labels := map[string]string{}
	for _, ns := range c.in.Namespaces {
		if ns.Name == name {
			maps.Copy(labels, ns.Labels)
		}
	}
	labels["kubernetes.io/metadata.name"] = name
	return labels
}

// bindParents finds the listeners that take a route of the Gateway API. Each parent
// is judged on its own, as in the route's status: one that takes nothing is an error.
func (c *checker) bindParents(doc *mesh.Route, bound map[*mesh.Listener][]binding) {
	taken := map[string]bool{} // hosts of the route
	found, elsewhere := false, false
	for _, ref := range doc.Gateways {
		g := c.gateOf(doc, ref)
		if g == nil {
			elsewhere = c.unknownGateway(doc, ref) || elsewhere
			continue
		}
		named, admitted, here := false, false, false
		for _, l := range g.doc.Listeners {
			if !ref.Names(l) {
				continue
			}
			named = true
			if !c.admits(doc, g.doc, l) {
				continue
			}
			admitted = true
			hosts, asked := hostsAt(doc, g.doc, l)
			here = here || len(hosts) > 0
			for _, h := range asked {
				taken[h] = true
			}
			again := slices.ContainsFunc(bound[l], func(b binding) bool { return b.doc == doc })
			if len(hosts) > 0 && !again && offers(doc, l) {
				bound[l] = append(bound[l], binding{doc, hosts})
			}
		}
		found = found || here
		switch {
		case !named:
			c.unknownListener(doc, ref, g.doc)
		case !admitted:
			c.notAdmitted(doc, ref, g.doc)
		case !here:
			c.noCommonHost(doc, ref, g.doc)
		}
	}
	if !found {
		c.nowhere(doc)
	} else if !elsewhere {
		c.ignoredHosts(doc, taken)
	}
}

// notAdmitted is the specification's NotAllowedByListeners.
func (c *checker) notAdmitted(doc *mesh.Route, ref mesh.GatewayRef, g *mesh.Gateway) {
	report(&c.now, doc.Origin, diag.Diagnostic{
		Code: GatewayRoutes, Severity: diag.Error, Span: ref.Span,
		Message: fmt.Sprintf("no listener of gateway %s takes a route of kind %s from namespace %s", g.Key(), doc.Kind, doc.Namespace),
		Related: []diag.Related{{Span: g.Span, Message: "allowedRoutes of its listeners say which"}},
		Fix:     &diag.Fix{Message: "ask the gateway's owner for allowedRoutes with the namespace and kind, or name another gateway"},
	})
}

// noCommonHost is the specification's NoMatchingListenerHostname.
func (c *checker) noCommonHost(doc *mesh.Route, ref mesh.GatewayRef, g *mesh.Gateway) {
	report(&c.now, doc.Origin, diag.Diagnostic{
		Code: GatewayHost, Severity: diag.Error, Span: ref.Span,
		Message: fmt.Sprintf("no hostname of the route is one of a listener of gateway %s that it may attach to", g.Key()),
		Related: []diag.Related{{Span: g.Span, Message: "the gateway"}},
	})
}

// ignoredHosts are no error: hostnames "that do not match any Listener hostname MUST
// be ignored" (HTTPRouteSpec.hostnames).
func (c *checker) ignoredHosts(doc *mesh.Route, taken map[string]bool) {
	for _, h := range doc.Hosts {
		if !taken[h.Name] {
			report(&c.now, doc.Origin, diag.Diagnostic{
				Code: GatewayHost, Severity: diag.Warning, Span: h.Span,
				Message: fmt.Sprintf("hostname %s is on no listener of %s that takes the route: it is ignored", h.Name, gatewayNames(doc)),
				Related: c.listenersOf(doc),
				Fix:     suggest(h.Name, c.listenerHosts(doc)),
			})
		}
	}
}

// redirectAt makes the port of a redirect explicit at a listener: unless written, that
// of the scheme, or without a scheme the listener's. Where it goes without saying it is
// left out (HTTPRequestRedirectFilter.port).
func redirectAt(r *mesh.Redirect, l *mesh.Listener) *mesh.Redirect {
	out := *r
	scheme := string(l.Protocol) // http or https
	standard := l.Port == wellKnown[scheme]
	if out.RequestPort && !standard {
		out.Port = l.Port
	}
	out.RequestPort = false
	if out.Scheme != "" {
		scheme = out.Scheme
	}
	if standard && out.Port == wellKnown[scheme] {
		out.Port = 0 // nor do clients write one
	}
	return &out
}

var wellKnown = map[string]uint32{"http": 80, "https": 443}
