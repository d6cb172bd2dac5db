package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// binding is a route at a listener, for the hosts that both have.
type binding struct {
	doc   *mesh.Route
	hosts []string
}

// bindRoutes finds the listeners of each route for gateways, and makes the tables.
func (c *checker) bindRoutes(before map[string]*gate) {
	bound := map[*mesh.Listener][]binding{}
	for _, doc := range c.in.Routes {
		switch {
		case len(doc.Gateways) > 0 && doc.Dialect == mesh.GatewayAPI:
			c.bindParents(doc, bound)
		case len(doc.Gateways) > 0:
			c.bind(doc, bound)
		case doc.OffMesh:
			c.nowhere(doc)
		}
	}
	for _, doc := range c.in.Gateways {
		key := gateKey(doc.Dialect, doc.Key())
		g := c.gates[key]
		if g.doc != doc {
			continue
		}
		for _, l := range doc.Listeners {
			for _, b := range bound[l] {
				g.inputs = append(g.inputs, l, b.doc, strings.Join(b.hosts, " "))
				g.inputs = c.answersOf(g.inputs, b.doc)
			}
		}
		g.inputs = append(g.inputs, doc)
		g.bound = bound
		if old := before[key]; old != nil && !old.diags.HasErrors() && slices.Equal(old.inputs, g.inputs) {
			g.listeners, g.diags = old.listeners, old.diags
		} else {
			for _, l := range doc.Listeners {
				g.listeners = append(g.listeners, c.listener(g, l, bound[l]))
			}
		}
		c.now = append(c.now, g.diags...)
	}
}

// Attached are the routes that a listener of a gateway takes, whatever else is wrong
// with them.
func (m *Mesh) Attached(g *mesh.Gateway, l *mesh.Listener) (out []*mesh.Route) {
	if m == nil || m.state.gates[gateKey(g.Dialect, g.Key())] == nil {
		return nil
	}
	gate := m.state.gates[gateKey(g.Dialect, g.Key())]
	for _, b := range gate.bound[l] {
		out = append(out, b.doc)
	}
	return out
}

// answersOf appends the services to which the rules of a route lead.
func (c *checker) answersOf(inputs []any, doc *mesh.Route) []any {
	answer := func(ref *mesh.Ref) {
		if ref == nil {
			return
		}
		if s := c.names.service(*ref, doc.Namespace); s != nil {
			inputs = append(inputs, s.svc)
		} else {
			inputs = append(inputs, "")
		}
	}
	for _, rule := range slices.Concat(doc.Rules, doc.Connections) {
		for i := range rule.To {
			answer(rule.To[i].Service)
		}
		for i := range rule.Mirrors {
			answer(rule.Mirrors[i].Service)
		}
	}
	return inputs
}

// bind finds the listeners that take a route, and says why others do not.
func (c *checker) bind(doc *mesh.Route, bound map[*mesh.Listener][]binding) {
	taken := map[string]bool{} // hosts of the route
	refused := diag.List{}
	found := false
	for _, ref := range doc.Gateways {
		g := c.gateOf(doc, ref)
		if g == nil {
			if c.unknownGateway(doc, ref) {
				found = true // somewhere else, of which nothing is known
			}
			continue
		}
		named := false
		for _, l := range g.doc.Listeners {
			if !ref.Names(l) {
				continue
			}
			named = true
			if l.RedirectToHTTPS {
				continue // answers all requests itself
			}
			hosts, asked := hostsAt(doc, g.doc, l)
			switch {
			case !c.admits(doc, g.doc, l):
				c.refuses(&refused, doc, ref, g.doc, l)
			case len(hosts) > 0 && offers(doc, l):
				bound[l] = append(bound[l], binding{doc, hosts})
				found = true
				for _, h := range asked {
					taken[h] = true
				}
			}
		}
		if !named {
			c.unknownListener(doc, ref, g.doc)
			found = true
		}
	}
	c.untaken(doc, taken, found, refused)
	if !found {
		c.nowhere(doc)
	}
}

// untaken reports what of a route no listener takes.
func (c *checker) untaken(doc *mesh.Route, taken map[string]bool, found bool, refused diag.List) {
	severity := diag.Error
	if doc.Dialect == mesh.Istio {
		severity = diag.Warning // as IST0132
	}
	switch {
	case len(refused) > 0 && !found:
		c.now = append(c.now, refused...)
		return
	case c.opt.AssumeExternal || c.someElsewhere(doc):
		return
	}
	said := false
	for _, h := range doc.Hosts {
		if taken[h.Name] || !doc.OffMesh && c.names.find(mesh.Ref{Host: h.Name}, doc.Namespace) != nil {
			continue // a name for sidecars
		}
		said = true
		report(&c.now, doc.Origin, diag.Diagnostic{
			Code: GatewayHost, Severity: severity, Span: h.Span,
			Message: fmt.Sprintf("host %s is on no listener of %s that takes routes of namespace %s", h.Name, gatewayNames(doc), doc.Namespace),
			Related: c.listenersOf(doc),
			Fix:     suggest(h.Name, c.listenerHosts(doc)),
		})
	}
	if !found && !said && len(refused) == 0 {
		report(&c.now, doc.Origin, diag.Diagnostic{
			Code: GatewayHost, Severity: severity, Span: doc.Gateways[0].Span,
			Message: fmt.Sprintf("no listener of %s takes the route: they redirect every request, or see connections alone, or have other hosts", gatewayNames(doc)),
			Related: c.listenersOf(doc),
		})
	}
}

// someElsewhere reports a gateway of the route that is assumed to exist: what it
// takes is not known here.
func (c *checker) someElsewhere(doc *mesh.Route) bool {
	return slices.ContainsFunc(doc.Gateways, func(ref mesh.GatewayRef) bool { return c.gateOf(doc, ref) == nil })
}

func gatewayNames(doc *mesh.Route) string {
	names := make([]string, len(doc.Gateways))
	for i, g := range doc.Gateways {
		names[i] = g.Key()
	}
	return "gateway " + strings.Join(slices.Compact(names), ", ")
}

func (c *checker) listenersOf(doc *mesh.Route) (out []diag.Related) {
	for _, ref := range doc.Gateways {
		if g := c.gateOf(doc, ref); g != nil {
			out = append(out, diag.Related{Span: g.doc.Span, Message: "the gateway"})
		}
	}
	return out
}

func (c *checker) listenerHosts(doc *mesh.Route) (out []string) {
	for _, ref := range doc.Gateways {
		if g := c.gateOf(doc, ref); g != nil {
			for _, l := range g.doc.Listeners {
				for _, h := range l.Hosts {
					out = append(out, h.Name)
				}
			}
		}
	}
	return out
}

// hostsAt are the hosts that a route and a listener have in common, and those of
// the route's that they come from. A native route says no more than the listener
// takes; others are narrowed to it. What a listener of the port has a host of its own
// for is not this one's.
func hostsAt(doc *mesh.Route, g *mesh.Gateway, l *mesh.Listener) (out, from []string) {
	wanted := doc.Hosts
	if doc.Dialect == mesh.Native && len(wanted) > 0 && l.Protocol == mesh.ListenTCP {
		return nil, nil // connections name no host
	}
	if len(wanted) == 0 {
		wanted = []mesh.HostName{{Name: "*"}}
	}
	for _, have := range hostsOf(l) {
		if have.RoutesFrom != nil && !allows(doc.Namespace, have.RoutesFrom, false, g.Namespace) {
			continue
		}
		for _, want := range wanted {
			both := Meet(have.Name, want.Name)
			narrowed := doc.Dialect == mesh.Native && len(doc.Hosts) > 0 && both != want.Name
			if both == "" || narrowed || hasOwn(g, l, both, have.Name) {
				continue
			}
			from = append(from, want.Name)
			if !slices.Contains(out, both) {
				out = append(out, both)
			}
		}
	}
	slices.Sort(out)
	return out, from
}

func hostsOf(l *mesh.Listener) []mesh.ListenerHost {
	if len(l.Hosts) == 0 {
		return []mesh.ListenerHost{{Name: "*"}}
	}
	return l.Hosts
}

// hasOwn reports whether another listener of the port takes a host more closely.
func hasOwn(g *mesh.Gateway, l *mesh.Listener, host, by string) bool {
	for _, other := range g.Listeners {
		if other == l || other.Port != l.Port {
			continue
		}
		for _, h := range hostsOf(other) {
			if Covers(h.Name, host) && specificity(h.Name) > specificity(by) {
				return true
			}
		}
	}
	return false
}

func allows(namespace string, from []string, any bool, own string) bool {
	return any || from == nil && namespace == own || slices.Contains(from, namespace)
}

// offers reports whether a listener sees what some rule of a route asks about.
func offers(doc *mesh.Route, l *mesh.Listener) bool {
	if l.Protocol.SeesRequests() {
		return slices.ContainsFunc(doc.Rules, func(r *mesh.Rule) bool { return len(matchesAtListener(r, l, doc.Gateways)) > 0 })
	}
	return len(connectionRules(doc, l)) > 0
}

// connectionRules are the rules of a route at a listener without requests.
func connectionRules(doc *mesh.Route, l *mesh.Listener) (out []*mesh.Rule) {
	for _, r := range doc.Connections {
		if len(matchesAtListener(r, l, doc.Gateways)) > 0 {
			out = append(out, r)
		}
	}
	if doc.Dialect == mesh.Istio || len(doc.Connections) > 0 {
		return out
	}
	for _, r := range doc.Rules {
		if matches := matchesAtListener(r, l, doc.Gateways); len(matches) > 0 && connectionField(r, matches) == "" {
			out = append(out, r)
		}
	}
	return out
}

// connectionField names what a rule says about requests, "" where nothing.
func connectionField(doc *mesh.Rule, matches []mesh.Match) string {
	plain := slices.Clone(matches)
	for i := range plain {
		plain[i].SNI = nil
	}
	return httpField(doc, plain)
}

// matchesAtListener are the matches that exist at a listener. What asks who calls
// is for sidecars: from outside comes nobody that the mesh knows.
func matchesAtListener(doc *mesh.Rule, l *mesh.Listener, refs []mesh.GatewayRef) []mesh.Match {
	if len(doc.Matches) == 0 {
		return []mesh.Match{{Span: doc.Span}}
	}
	var kept []mesh.Match
	for _, m := range doc.Matches {
		switch {
		case len(m.Ports) > 0 && !slices.Contains(m.Ports, l.Port), len(m.From) > 0:
			continue
		case len(m.At) > 0 && !slices.ContainsFunc(refs, func(r mesh.GatewayRef) bool { return slices.Contains(m.At, r.Key()) }):
			continue
		case len(m.SNI) > 0 && l.Protocol != mesh.ListenTLS:
			continue
		}
		m.Ports, m.At = nil, nil
		kept = append(kept, m)
	}
	return kept
}

// listener makes the tables of one listener.
func (c *checker) listener(g *gate, l *mesh.Listener, bound []binding) *GatewayListener {
	out := &GatewayListener{Gateway: g.doc.Key(), Name: l.Section(), Span: l.Span, Protocol: l.Protocol, TLS: l.TLS}
	for _, h := range l.Hosts {
		out.Hosts = append(out.Hosts, h.Name)
	}
	if len(out.Hosts) == 0 {
		out.Hosts = []string{"*"}
	}
	slices.Sort(out.Hosts)
	out.Hosts = slices.Compact(out.Hosts)
	switch {
	case l.RedirectToHTTPS:
		out.Routes = []*GatewayRoute{g.table(l, out.Hosts, []*Rule{g.redirect(l)})}
	case l.Protocol.SeesRequests():
		out.Routes = c.requestRoutes(g, l, bound)
	default:
		out.Routes = c.connectionRoutes(g, l, bound, out.Hosts)
	}
	return out
}

func (g *gate) table(l *mesh.Listener, hosts []string, rules []*Rule) *GatewayRoute {
	protocol := mesh.HTTP
	switch l.Protocol {
	case mesh.ListenTLS:
		protocol = mesh.TLS
	case mesh.ListenTCP:
		protocol = mesh.TCP
	}
	svc := &Service{Origin: g.doc.Origin, Namespace: g.doc.Namespace, Name: g.doc.Name, Hosts: hosts, Virtual: true, key: g.doc.Key()}
	return &GatewayRoute{Hosts: hosts, Rules: rules, table: &Port{Service: svc, Number: l.Port, Protocol: protocol, Rules: rules, Gateway: g.doc.Key()}}
}

// redirect answers as Envoy's require_tls: 301 to the same place by https.
func (g *gate) redirect(l *mesh.Listener) *Rule {
	to := &mesh.Redirect{Scheme: "https", Code: 301, Span: l.Span}
	for _, other := range g.doc.Listeners { // where https is at a port of its own
		if other.Protocol == mesh.ListenHTTPS && (to.Port == 0 || other.Port == 443) {
			to.Port = other.Port
		}
	}
	if to.Port == 443 && l.Port == 80 {
		to.Port = 0 // both are left out of an authority
	}
	return &Rule{
		ID: g.doc.ID() + "/" + l.Section() + "/redirect", Name: "redirect", Span: l.Span, Origin: g.doc.Origin,
		Matches: []mesh.Match{{Span: l.Span}}, Redirect: to,
	}
}

// requestRoutes groups the hosts of a listener by the routes that are for them.
func (c *checker) requestRoutes(g *gate, l *mesh.Listener, bound []binding) (out []*GatewayRoute) {
	byHost := map[string][]binding{}
	var hosts []string
	for _, b := range bound {
		for _, h := range b.hosts {
			if byHost[h] == nil {
				hosts = append(hosts, h)
			}
			byHost[h] = append(byHost[h], b)
		}
	}
	slices.Sort(hosts)
	type group struct {
		docs  []binding
		hosts []string
	}
	var groups []*group
	for _, h := range hosts {
		docs := c.oneRoute(g, l, h, byHost[h])
		i := slices.IndexFunc(groups, func(o *group) bool {
			return slices.EqualFunc(o.docs, docs, func(a, b binding) bool { return a.doc == b.doc })
		})
		if i < 0 {
			groups = append(groups, &group{docs: docs})
			i = len(groups) - 1
		}
		groups[i].hosts = append(groups[i].hosts, h)
	}
	for _, one := range groups {
		var rules []*Rule
		for _, b := range one.docs {
			rules = append(rules, c.gatewayRules(g, l, b.doc)...)
		}
		if one.docs[0].doc.ByPrecedence {
			rules = byPrecedence(rules)
		}
		out = append(out, g.table(l, one.hosts, rules))
	}
	return out
}

// oneRoute decides which routes a host has. Natively there is one. Istio puts the
// rules of several together, in an order that it does not define: here by name. The
// Gateway API merges those of one kind by their precedence, and where there are two
// kinds it wants exactly one, the first by namespace and name (GRPCRouteSpec.hostnames).
func (c *checker) oneRoute(g *gate, l *mesh.Listener, host string, all []binding) []binding {
	kept := all[:1:1]
	for _, b := range all[1:] {
		first := kept[0].doc
		if first.ByPrecedence && b.doc.ByPrecedence && first.Kind == b.doc.Kind {
			kept = append(kept, b)
			continue
		}
		d := diag.Diagnostic{
			Code: DuplicateHost, Severity: diag.Error, Span: hostAt(b.doc, host),
			Message: fmt.Sprintf("host %s at listener %s of gateway %s already has the route %s, which hides this one", host, describe(l.Section()), g.doc.Key(), first.Object()),
			Related: []diag.Related{{Span: hostAt(first, host), Message: "the route that is used"}},
			Fix:     &diag.Fix{Message: "make one document of the two: the order of rules is visible only within one"},
		}
		if mergeable(first) && mergeable(b.doc) {
			kept = append(kept, b)
			d.Severity = diag.Warning
			d.Message = fmt.Sprintf("host %s at gateway %s has the routes %s and %s: Istio does not define which is tried first, and here it is the first by namespace and name", host, g.doc.Key(), first.Object(), b.doc.Object())
			d.Related[0].Message = "the route that is tried first"
		}
		report(&g.diags, b.doc.Origin, d)
	}
	return kept
}

func mergeable(doc *mesh.Route) bool { return doc.Dialect == mesh.Istio }

func hostAt(doc *mesh.Route, host string) source.Span {
	for _, h := range doc.Hosts {
		if Covers(h.Name, host) {
			return h.Span
		}
	}
	return doc.Span
}

// gatewayRules makes the rules of a route at a listener for requests.
func (c *checker) gatewayRules(g *gate, l *mesh.Listener, doc *mesh.Route) (out []*Rule) {
	at := location{port: &Port{Protocol: mesh.HTTP}, routing: &routing{doc: doc}, diags: &g.diags}
	for _, r := range doc.Rules {
		if matches := matchesAtListener(r, l, doc.Gateways); len(matches) > 0 && at.leads(r) {
			rule := c.rule(&at, r, matches)
			if r.Redirect != nil && doc.ByPrecedence {
				rule.Redirect = redirectAt(r.Redirect, l)
			}
			out = append(out, rule)
		}
	}
	return out
}

// leads reports a destination that only a service's own route may leave out.
func (at *location) leads(r *mesh.Rule) bool {
	if r.Redirect != nil || r.Respond != nil {
		return true
	}
	unnamed := func(d mesh.Destination) bool { return d.Service == nil }
	if len(r.To) > 0 && !slices.ContainsFunc(r.To, unnamed) &&
		!slices.ContainsFunc(r.Mirrors, func(m mesh.Mirror) bool { return unnamed(m.Destination) }) {
		return true
	}
	at.report(diag.Diagnostic{
		Code: UnknownDestination, Severity: diag.Error, Span: r.Span,
		Message: fmt.Sprintf("rule %q of a route for a gateway names no service to go to", r.Name),
	})
	return false
}

// connectionRoutes gives each server name the first rule that is for it. Without
// TLS there is one rule for all connections.
func (c *checker) connectionRoutes(g *gate, l *mesh.Listener, bound []binding, listening []string) (out []*GatewayRoute) {
	taken := map[string]*mesh.Route{}
	for _, b := range bound {
		at := location{port: &Port{Protocol: mesh.TCP}, routing: &routing{doc: b.doc}, diags: &g.diags}
		for _, r := range connectionRules(b.doc, l) {
			names := namesOf(matchesAtListener(r, l, b.doc.Gateways), b.hosts)
			if l.Protocol == mesh.ListenTCP {
				names = listening
			}
			fresh := slices.DeleteFunc(slices.Clone(names), func(n string) bool {
				first := taken[n]
				if first != nil && first != b.doc {
					c.oneRoute(g, l, n, []binding{{doc: first}, b})
				}
				return first != nil
			})
			if len(fresh) == 0 || !at.leads(r) {
				continue
			}
			rule := c.rule(&at, r, []mesh.Match{{Span: r.Span}})
			if len(rule.To) == 0 {
				continue // reported
			}
			rule.Timeout, rule.TimeoutAt, rule.Retry = 0, source.Span{}, nil
			for _, n := range fresh {
				taken[n] = b.doc
			}
			out = append(out, g.table(l, fresh, []*Rule{rule}))
		}
	}
	return out
}

// namesOf are the server names of a rule, within the hosts of its route.
func namesOf(matches []mesh.Match, hosts []string) (out []string) {
	for _, m := range matches {
		if len(m.SNI) == 0 {
			out = append(out, hosts...)
		}
		for _, sni := range m.SNI {
			for _, h := range hosts {
				if both := Meet(sni.Name, h); both != "" {
					out = append(out, both)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// nowhere checks a route that no listener takes. It makes no rule, and a
// destination that does not exist is as wrong in it.
func (c *checker) nowhere(doc *mesh.Route) {
	at := &location{port: &Port{}, routing: &routing{doc: doc}, diags: &c.now}
	for _, rule := range slices.Concat(doc.Rules, doc.Connections) {
		c.checkRegexes(at, rule)
		at.checkAbsences(rule)
		at.checkLineBreaks(rule)
		if slices.ContainsFunc(rule.To, func(d mesh.Destination) bool { return d.Service == nil }) {
			continue
		}
		if len(rule.To) > 0 {
			c.destinations(at, rule)
		}
		c.mirrors(at, rule)
	}
}

// unknownGateway reports a gateway that nobody declares; assumed is true where it
// exists elsewhere.
func (c *checker) unknownGateway(doc *mesh.Route, ref mesh.GatewayRef) (assumed bool) {
	if ref.Set {
		return c.unknownSet(doc, ref)
	}
	if c.opt.AssumeExternal || doc.Dialect == mesh.GatewayAPI && c.in.foreign[ref.Key()] {
		return true
	}
	for _, a := range c.in.Assumptions {
		if slices.Contains(a.Gateways, ref.Key()) {
			return true
		}
	}
	var names []string
	for _, g := range c.in.Gateways {
		names = append(names, g.Key())
	}
	d := diag.Diagnostic{
		Code: UnknownGateway, Severity: diag.Error, Span: ref.Span,
		Message: "no gateway " + ref.Key(), Fix: suggest(ref.Key(), names),
	}
	if d.Fix == nil {
		d.Fix = &diag.Fix{Message: "declare it with an Assumption, or use --assume-external, if it exists outside this repository"}
	}
	report(&c.now, doc.Origin, d)
	return false
}

func (c *checker) unknownListener(doc *mesh.Route, ref mesh.GatewayRef, g *mesh.Gateway) {
	var names []string
	parent, whole := "gateway", mesh.GatewayRef{Set: ref.Set, Namespace: ref.Namespace, Name: ref.Name}
	if ref.Set {
		parent = "ListenerSet"
	}
	for _, l := range g.Listeners {
		if l.Name != "" && whole.Names(l) {
			names = append(names, l.Name)
		}
	}
	what := "listener " + ref.Listener
	if ref.Listener == "" {
		what = fmt.Sprintf("listener at port %d", ref.Port)
	}
	report(&c.now, doc.Origin, diag.Diagnostic{
		Code: UnknownGateway, Severity: diag.Error, Span: ref.Span,
		Message: fmt.Sprintf("%s %s has no %s; it has %s", parent, ref.Key(), what, cmp.Or(strings.Join(names, ", "), "none")),
		Related: []diag.Related{{Span: g.Span, Message: "the gateway"}},
		Fix:     suggest(ref.Listener, names),
	})
}

// refuses notes that a listener does not take routes of the route's namespace.
func (c *checker) refuses(l *diag.List, doc *mesh.Route, ref mesh.GatewayRef, g *mesh.Gateway, listener *mesh.Listener) {
	for i := range *l {
		if (*l)[i].Span == ref.Span {
			(*l)[i].Related = append((*l)[i].Related, diag.Related{Span: listener.Span, Message: "nor does this one"})
			return
		}
	}
	report(l, doc.Origin, diag.Diagnostic{
		Code: GatewayRoutes, Severity: diag.Error, Span: ref.Span,
		Message: fmt.Sprintf("listener %s of gateway %s takes no routes of namespace %s", describe(listener.Name), g.Key(), doc.Namespace),
		Related: []diag.Related{{Span: listener.Span, Message: "its routesFrom says whose"}},
		Fix:     &diag.Fix{Message: "ask the gateway's owner to list the namespace in routesFrom"},
	})
}
