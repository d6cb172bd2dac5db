package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// gate is a gateway while it is being checked.
type gate struct {
	doc       *mesh.Gateway
	listeners []*GatewayListener // of doc.Listeners, in their order
	bound     map[*mesh.Listener][]binding
	inputs    []any // what they are made from, comparable by ==
	diags     diag.List
}

// serving is what a workload does for gateways.
type serving struct {
	inputs []any
	ports  []*GatewayPort
	diags  diag.List
}

// gatewayWorkloads attaches each gateway to the workloads that serve it.
func (c *checker) gatewayWorkloads() {
	for _, g := range c.in.Gateways {
		nodes := c.servers(g)
		for _, n := range nodes {
			n.gateways = append(n.gateways, g)
		}
		if len(nodes) == 0 && !c.opt.AssumeExternal {
			c.unserved(g)
		}
	}
}

func (c *checker) servers(g *mesh.Gateway) (out []*node) {
	switch {
	case g.Workload != "":
		if n := c.node(g.Namespace + "/" + g.Workload); n != nil {
			return []*node{n}
		}
	case g.AnyNamespace:
		for _, n := range c.nodes {
			if len(g.Selector) > 0 && Selects(g.Selector, n.doc.Labels) {
				out = append(out, n)
			}
		}
	default:
		return c.selected(g.Namespace, g.Selector)
	}
	return out
}

// unserved reports a gateway without a proxy. Gateways of other dialects are often
// of an ingress that is installed elsewhere.
func (c *checker) unserved(g *mesh.Gateway) {
	d := diag.Diagnostic{
		Code: SelectsNothing, Severity: diag.Warning, Span: g.WorkloadAt,
		Message: "no workload of this repository serves gateway " + g.Key(),
	}
	if g.Dialect == mesh.Native {
		var names []string
		for _, n := range c.inNamespace(g.Namespace) {
			names = append(names, n.doc.Name)
		}
		d.Severity, d.Fix = diag.Error, suggest(g.Workload, names)
		d.Message = fmt.Sprintf("gateway %s is served by workload %s, which does not exist", g.Key(), g.Workload)
	}
	if g.Dialect == mesh.GatewayAPI {
		d.Severity, d.Fix = diag.Error, &diag.Fix{Message: fmt.Sprintf("label the pods that serve it, in namespace %s, with %s: %s", g.Namespace, mesh.GatewayNameLabel, g.Name)}
	}
	report(&c.diags, g.Origin, d)
}

// gatewayPorts are the ports on which a workload listens for gateways, and what
// clients call each.
func (c *checker) gatewayPorts(n *node) map[uint32]uint32 {
	out := map[uint32]uint32{}
	for _, g := range n.gateways {
		for _, l := range g.Listeners {
			out[n.bindOf(l.Port)] = l.Port
		}
	}
	return out
}

// bindOf is where the workload's proxy listens for a port of a gateway: the target
// of a service that maps it, as for applications.
func (n *node) bindOf(number uint32) uint32 {
	for _, s := range n.sites {
		if p := s.port(number); p != nil {
			if target, ok := n.target(p); ok {
				return target
			}
		}
	}
	return number
}

// gateways makes the listeners of all gateways anew, or takes over those whose
// documents, and the services that they lead to, are the same. It runs last, when
// services have their backends and workloads their scopes.
func (c *checker) gateways() {
	before, served := c.prev.gates, c.prev.served
	c.gates, c.served = make(map[string]*gate, len(c.in.Gateways)), map[string]*serving{}
	c.nsLabels = map[string]map[string]string{}
	for _, doc := range c.in.Gateways {
		if key := gateKey(doc.Dialect, doc.Key()); c.gates[key] == nil { // of two dialects the first by kind
			c.gates[key] = &gate{doc: doc}
		}
	}
	c.bindRoutes(before)
	for i, n := range c.nodes {
		if len(n.gateways) > 0 {
			c.served[n.key] = c.serve(n, served[n.key])
			c.now = append(c.now, c.served[n.key].diags...)
		}
		c.serveFrom(i, c.served[n.key])
	}
}

// serveFrom puts the gateway ports into the value of a workload.
func (c *checker) serveFrom(i int, s *serving) {
	var ports []*GatewayPort
	if s != nil {
		ports = s.ports
	}
	if slices.Equal(c.full[i].Gateway, ports) {
		return
	}
	full := *c.full[i]
	full.Gateway = ports
	c.full[i] = &full
}

// served listener is one of a workload's, with where it listens.
type servedListener struct {
	doc    *mesh.Listener
	origin mesh.Origin
	built  *GatewayListener
}

// serve puts the listeners of a workload's gateways together by port.
func (c *checker) serve(n *node, old *serving) *serving {
	out := &serving{}
	byPort := map[uint32][]servedListener{}
	for _, g := range n.gateways {
		state := c.gates[gateKey(g.Dialect, g.Key())]
		if state.doc != g {
			continue
		}
		for i, l := range g.Listeners {
			bind := n.bindOf(l.Port)
			byPort[bind] = append(byPort[bind], servedListener{l, originAt(g, l), state.listeners[i]})
			out.inputs = append(out.inputs, bind, state.listeners[i])
		}
	}
	if old != nil && slices.Equal(old.inputs, out.inputs) && !old.diags.HasErrors() {
		return old
	}
	for _, bind := range slices.Sorted(maps.Keys(byPort)) {
		if p := n.gatewayPort(&out.diags, bind, byPort[bind]); p != nil {
			out.ports = append(out.ports, p)
		}
	}
	return out
}

// originAt is the document that has a listener.
func originAt(g *mesh.Gateway, l *mesh.Listener) mesh.Origin {
	if l.Set != nil {
		return *l.Set
	}
	return g.Origin
}

// gatewayPort puts the listeners of one port together: what contradicts an earlier
// one is reported and left out.
func (n *node) gatewayPort(l *diag.List, bind uint32, all []servedListener) *GatewayPort {
	first := &all[0]
	if slices.Contains(capturePorts, bind) || slices.Contains(agentPorts, bind) {
		report(l, first.origin, diag.Diagnostic{
			Code: ReservedPort, Severity: diag.Error, Span: first.doc.PortAt, Section: first.doc.Name,
			Message: fmt.Sprintf("workload %s would listen on port %d, which is its proxy's own", n.key, bind),
			Fix:     &diag.Fix{Message: "listen on another port; 15001, 15006, 15020, 15021 and 15090 are the proxy's"},
		})
		return nil
	}
	out := &GatewayPort{Port: bind, Number: first.doc.Port, TLS: first.doc.Protocol.IsTLS()}
	taken := map[string]*servedListener{}
	for i := range all {
		if s := &all[i]; n.fits(l, bind, first, s, taken) {
			out.Listeners = append(out.Listeners, s.built)
		}
	}
	out.isolate()
	return out
}

// fits reports what keeps a listener from a port that others have: another
// protocol, or the same host.
func (n *node) fits(l *diag.List, bind uint32, first, s *servedListener, taken map[string]*servedListener) bool {
	conflict := func(other *servedListener, reason, format string, args ...any) bool {
		report(l, s.origin, diag.Diagnostic{
			Code: ListenerConflict, Severity: diag.Error, Span: cmp.Or(s.doc.PortAt, s.doc.Span),
			Message: fmt.Sprintf(format, args...), Section: s.doc.Name, Reason: reason,
			Related: []diag.Related{{Span: cmp.Or(other.doc.PortAt, other.doc.Span), Message: "the listener that is used"}},
		})
		return false
	}
	if s != first && (s.doc.Protocol.IsTLS() != first.doc.Protocol.IsTLS() || s.doc.Protocol == mesh.ListenTCP || first.doc.Protocol == mesh.ListenTCP) {
		return conflict(first, "ProtocolConflict", "port %d of workload %s is %s here and %s for gateway %s: connections could not be told apart",
			bind, n.key, s.doc.Protocol, first.doc.Protocol, first.built.Gateway)
	}
	for _, host := range s.built.Hosts {
		if other := taken[host]; other != nil {
			return conflict(other, "HostnameConflict", "host %s at port %d of workload %s is taken by listener %s of gateway %s",
				host, bind, n.key, describe(other.built.Name), other.built.Gateway)
		}
	}
	for _, host := range s.built.Hosts {
		taken[host] = s
	}
	return true
}

func describe(name string) string {
	if name == "" {
		return "(unnamed)"
	}
	return name
}

// isolate gives each host to the listener with the most specific host over it, as
// Envoy's filter chains do and Gateway API's listeners should: a route of "*" takes
// nothing from a listener of its own for "shop.example". It orders listeners so.
func (p *GatewayPort) isolate() {
	all := slices.Clone(p.Listeners)
	for i, l := range p.Listeners {
		p.Listeners[i] = l.without(func(host string) bool {
			return slices.ContainsFunc(all, func(o *GatewayListener) bool {
				return o != l && specificity(o.over(host)) > specificity(l.over(host))
			})
		})
	}
	slices.SortStableFunc(p.Listeners, func(a, b *GatewayListener) int {
		return cmp.Or(-cmp.Compare(specificity(mostSpecific(a.Hosts)), specificity(mostSpecific(b.Hosts))), cmp.Compare(a.ID(), b.ID()))
	})
}

// without is the listener without some hosts of its routes, itself where none is.
func (l *GatewayListener) without(foreign func(host string) bool) *GatewayListener {
	out, changed := *l, false
	out.Routes = nil
	for _, r := range l.Routes {
		kept := slices.DeleteFunc(slices.Clone(r.Hosts), foreign)
		if len(kept) == len(r.Hosts) {
			out.Routes = append(out.Routes, r)
			continue
		}
		changed = true
		if len(kept) > 0 {
			one := *r
			one.Hosts = kept
			out.Routes = append(out.Routes, &one)
		}
	}
	if !changed {
		return l
	}
	return &out
}

// over is the most specific host of the listener that covers another, "" for none.
func (l *GatewayListener) over(host string) string {
	best := ""
	for _, h := range l.Hosts {
		if Covers(h, host) && specificity(h) > specificity(best) {
			best = h
		}
	}
	return best
}

func mostSpecific(hosts []string) string {
	best := ""
	for _, h := range hosts {
		if specificity(h) > specificity(best) {
			best = h
		}
	}
	return best
}

// specificity orders hosts as Envoy's domains: exact names, then wildcards by
// length, then "*"; "" is none.
func specificity(host string) int {
	switch {
	case host == "":
		return 0
	case host == "*":
		return 1
	case strings.HasPrefix(host, "*."):
		return 1 + len(host)
	}
	return 1000 + len(host)
}

// Covers reports whether a host of a listener or route, which may be a wildcard,
// takes all of another. A wildcard stands for one label or several.
func Covers(host, other string) bool {
	if host == other || host == "*" {
		return true
	}
	suffix, wild := strings.CutPrefix(host, "*")
	return wild && strings.HasSuffix(strings.TrimPrefix(other, "*"), suffix)
}

// Meet is the host that two have in common, "" for none: the narrower of the two.
func Meet(a, b string) string {
	switch {
	case Covers(a, b):
		return b
	case Covers(b, a):
		return a
	}
	return ""
}
