package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// guard is a Server with whom it lets in.
type guard struct {
	doc    *mesh.Server
	ports  []uint32 // of one node
	routes []*mesh.ServerRoute
	// policies hold the rules of one authorization each, and that of the Server's
	// own default.
	policies []*mesh.AccessPolicy
	inputs   []any // the documents of which it is made
}

// inherited is what a workload takes from its namespace, and from Servers about
// what its ports carry.
type inherited struct {
	inbound mesh.WrittenDefault
	opaque  []mesh.PortRange
}

// inherit gives workloads what their namespaces write, and the ports that carry
// connections.
func (c *checker) inherit() {
	for _, n := range c.nodes {
		n.inherits.opaque = n.doc.Opaque
	}
	for _, ns := range c.in.Namespaces {
		if ns.Inbound.Value == mesh.InboundUnset && ns.Opaque == nil {
			continue
		}
		for _, n := range c.inNamespace(ns.Name) {
			n.inherits.inbound = ns.Inbound
			if n.doc.Opaque == nil {
				n.inherits.opaque = ns.Opaque
			}
		}
	}
	for _, doc := range c.in.Servers {
		if doc.Protocol != mesh.TCP {
			continue
		}
		for _, n := range c.inNamespace(doc.Namespace) {
			if doc.Workloads.Selects(n.doc.Labels) {
				n.inherits.opaque = slices.Concat(n.inherits.opaque, n.opaqueFor(doc))
			}
		}
	}
}

func (n *node) opaqueFor(doc *mesh.Server) []mesh.PortRange {
	if doc.PortName == "" {
		return []mesh.PortRange{{First: doc.Port, Last: doc.Port}}
	}
	var out []mesh.PortRange
	for _, p := range n.doc.Ports {
		if p.Name == doc.PortName {
			out = append(out, mesh.PortRange{First: p.Number, Last: p.Number})
		}
	}
	return out
}

// carryConnections takes the ports that some workload calls opaque for TCP.
func (s *site) carryConnections() {
	for i := range s.ports {
		p := &s.ports[i]
		opaque := slices.ContainsFunc(s.nodes, func(n *node) bool {
			target, ok := n.target(p)
			return ok && mesh.InRanges(n.inherits.opaque, target)
		})
		if opaque && p.Protocol != mesh.TCP {
			p.Protocol = mesh.TCP
			s.opaque = append(s.opaque, p.Number)
		}
	}
}

// guards attaches Servers to the ports of workloads that they select.
func (c *checker) guards() {
	r := c.authenticating()
	for _, doc := range c.in.Servers {
		c.guard(doc, r.guard(doc))
	}
	r.unused()
}

func (c *checker) guard(doc *mesh.Server, s *guard) {
	var nodes []*node
	attached := false
	for _, n := range c.inNamespace(doc.Namespace) {
		if !doc.Workloads.Selects(n.doc.Labels) {
			continue
		}
		nodes = append(nodes, n)
		if ports := n.serverPorts(doc); len(ports) > 0 {
			c.serveAt(n, s, ports)
			attached = true
		}
	}
	switch {
	case len(nodes) == 0:
		c.selectsNothing(doc.Origin, doc.Span, diag.Warning)
	case !attached:
		report(&c.diags, doc.Origin, diag.Diagnostic{
			Code: SelectsNothing, Severity: diag.Warning, Span: doc.PortAt,
			Message: fmt.Sprintf("none of the workloads that %s selects has port %s", doc.Object(), cmp.Or(doc.PortName, strconv.FormatUint(uint64(doc.Port), 10))),
			Related: []diag.Related{{Span: nodes[0].doc.Span, Message: "a workload"}},
		})
	}
}

// serverPorts are the ports of the workload that a Server is about: those of
// containers, or to which services lead.
func (n *node) serverPorts(doc *mesh.Server) []uint32 {
	var out []uint32
	add := func(port uint32) {
		if !slices.Contains(out, port) {
			out = append(out, port)
		}
	}
	for _, p := range n.doc.Ports {
		if doc.PortName != "" && p.Name == doc.PortName || doc.PortName == "" && p.Number == doc.Port {
			add(p.Number)
		}
	}
	for _, s := range n.sites {
		for i := range s.ports {
			if target, ok := n.target(&s.ports[i]); ok && doc.PortName == "" && target == doc.Port {
				add(target)
			}
		}
	}
	return out
}

// serveAt enters a Server at ports of a workload. Two at one port are an error, as for Linkerd's
// admission; the first by name stays.
func (c *checker) serveAt(n *node, s *guard, ports []uint32) {
	here := *s
	for _, port := range ports {
		if first := n.serverAt(port); first != nil {
			report(&c.diags, s.doc.Origin, diag.Diagnostic{
				Code: DuplicatePolicy, Severity: diag.Error, Span: s.doc.PortAt,
				Message: fmt.Sprintf("port %d of workload %s already has %s", port, n.key, first.doc.Object()),
				Related: []diag.Related{{Span: first.doc.Span, Message: "the first, which is used"}},
			})
			continue
		}
		here.ports = append(here.ports, port)
		c.checkServerProtocol(n, s.doc, port)
	}
	if len(here.ports) > 0 {
		n.servers = append(n.servers, &here)
	}
}

// checkServerProtocol reports a Server that expects another protocol than services
// declare: the services' is what the sidecars speak.
func (c *checker) checkServerProtocol(n *node, doc *mesh.Server, port uint32) {
	if doc.Protocol == "" || doc.Protocol == mesh.TCP {
		return
	}
	for _, s := range n.sites {
		for i := range s.ports {
			p := &s.ports[i]
			target, ok := n.target(p)
			if !ok || target != port || doc.Protocol == p.Protocol || doc.Protocol.IsHTTP() && p.Protocol.IsHTTP() {
				continue
			}
			report(&c.diags, doc.Origin, diag.Diagnostic{
				Code: PortMismatch, Severity: diag.Warning, Span: doc.ProtocolAt,
				Message: fmt.Sprintf("%s expects %s, and port %d of service %s is %s, which holds", doc.Object(), doc.Protocol, p.Number, s.key, p.Protocol),
				Related: []diag.Related{{Span: p.Span, Message: "the port"}},
				Fix:     &diag.Fix{Message: "write appProtocol: " + string(doc.Protocol) + " at the service's port"},
			})
		}
	}
}

// serverAt is the Server of a port, nil where there is none.
func (n *node) serverAt(port uint32) *guard {
	for _, s := range n.servers {
		if slices.Contains(s.ports, port) {
			return s
		}
	}
	return nil
}

// authenticating resolves whom authorizations name.
type authenticating struct {
	c      *checker
	byName map[string]*mesh.Authentication
	used   map[*mesh.Authorization]bool
	routes map[*mesh.ServerRoute]bool
	// from is who an authorization lets in; ok is false where it names nobody
	// that exists, which is reported once.
	from map[*mesh.Authorization]callers
}

type callers struct {
	sources []mesh.Source
	inputs  []any
	ok      bool
}

func (c *checker) authenticating() *authenticating {
	r := &authenticating{
		c: c, byName: map[string]*mesh.Authentication{}, used: map[*mesh.Authorization]bool{},
		routes: map[*mesh.ServerRoute]bool{}, from: map[*mesh.Authorization]callers{},
	}
	for _, a := range c.in.Authentications {
		r.byName[a.ID()] = a
	}
	for _, a := range c.in.Authorizations {
		r.from[a] = r.callers(a)
	}
	return r
}

// callers are those who are in all that an authorization requires. Linkerd ignores
// an authorization that names what does not exist.
func (r *authenticating) callers(a *mesh.Authorization) callers {
	out := callers{sources: a.From, inputs: []any{a}, ok: true}
	if a.From == nil {
		out.sources = []mesh.Source{{Span: a.Span}}
	}
	for _, ref := range a.Requires {
		from := []mesh.Source{{ServiceAccounts: []mesh.AccountRef{{Namespace: ref.Namespace, Name: ref.Name, Span: ref.Span}}, Span: ref.Span}}
		if ref.Kind != "ServiceAccount" {
			named := r.byName[ref.Kind+"/"+ref.Namespace+"/"+ref.Name]
			if named == nil {
				r.unknown(a, ref)
				return callers{inputs: out.inputs}
			}
			from, out.inputs = named.From, append(out.inputs, named)
		}
		if ref.Kind == "NetworkAuthentication" {
			out.sources = mesh.InNetworks(out.sources, from)
		} else {
			out.sources = identified(out.sources, from)
		}
	}
	if a.Cluster {
		out.sources = mesh.InNetworks(out.sources, r.c.clusterNetworks())
	}
	return out
}

// identified demands of each source, which says nothing but addresses, one of the
// identities.
func identified(sources, identities []mesh.Source) []mesh.Source {
	out := make([]mesh.Source, 0, len(sources)*len(identities))
	for _, s := range sources {
		for _, id := range identities {
			id.IPBlocks, id.NotIPBlocks = s.IPBlocks, s.NotIPBlocks
			out = append(out, id)
		}
	}
	return out
}

func (r *authenticating) unknown(a *mesh.Authorization, ref mesh.AuthenticationRef) {
	var names []string
	for _, known := range r.c.in.Authentications {
		if known.Kind == ref.Kind && known.Namespace == ref.Namespace {
			names = append(names, known.Name)
		}
	}
	report(&r.c.diags, a.Origin, diag.Diagnostic{
		Code: SelectsNothing, Severity: diag.Warning, Span: ref.Span,
		Message: fmt.Sprintf("there is no %s %s in namespace %s: the policy allows nobody", ref.Kind, ref.Name, ref.Namespace),
		Fix:     suggest(ref.Name, names),
	})
}

// linkerdNetworks are Linkerd's clusterNetworks unless its installation says
// otherwise (charts/linkerd-control-plane/values.yaml).
var linkerdNetworks = []string{"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"}

// clusterNetworks are where callers in the cluster come from: where endpoints may be.
func (c *checker) clusterNetworks() []mesh.Source {
	blocks := c.set.EndpointCIDRs
	if len(blocks) == 0 {
		blocks = linkerdNetworks
	}
	return []mesh.Source{{IPBlocks: blocks}}
}

// guard makes the rules of a Server.
func (r *authenticating) guard(doc *mesh.Server) *guard {
	s := &guard{doc: doc, inputs: []any{doc}}
	for _, route := range r.c.in.ServerRoutes {
		if route.Namespace == doc.Namespace && slices.ContainsFunc(route.Servers, func(n mesh.ObjectName) bool { return n.Name == doc.Name }) {
			s.routes, s.inputs = append(s.routes, route), append(s.inputs, route)
			r.routes[route] = true
		}
	}
	for _, a := range r.c.in.Authorizations {
		from := r.from[a]
		rules, about := s.rulesOf(a, from.sources)
		if !about {
			continue
		}
		r.used[a] = true
		s.inputs = append(s.inputs, from.inputs...)
		if from.ok {
			s.policies = append(s.policies, &mesh.AccessPolicy{Origin: a.Origin, Rules: rules})
		}
	}
	if rules := r.c.defaultRules(doc.Origin, mesh.WrittenDefault{Value: doc.Default, Span: doc.DefaultAt}); len(rules) > 0 {
		for _, rule := range rules {
			rule.To = s.anyRoute()
		}
		s.policies = append(s.policies, &mesh.AccessPolicy{Origin: doc.Origin, Rules: rules})
	}
	return s
}

// rulesOf are the rules of an authorization at a Server; about is false where it
// is about another.
func (s *guard) rulesOf(a *mesh.Authorization, from []mesh.Source) (rules []*mesh.AccessRule, about bool) {
	switch {
	case a.Namespace != s.doc.Namespace:
		return nil, false
	case a.Route != nil:
		return s.routeRules(a, from)
	case a.Server != "" && a.Server != s.doc.Name:
		return nil, false
	case a.Servers != nil && !a.Servers.Selects(s.doc.Labels):
		return nil, false
	}
	return []*mesh.AccessRule{allowed(a, "", from, s.anyRoute())}, true
}

func allowed(a *mesh.Authorization, name string, from []mesh.Source, to []mesh.Operation) *mesh.AccessRule {
	if slices.ContainsFunc(from, anyone) {
		from = nil
	}
	return &mesh.AccessRule{
		ID: a.ID() + name, Name: a.Name + name, Span: cmp.Or(a.TargetAt, a.Span), Action: mesh.Allow, From: from, To: to,
	}
}

// anyone reports a source that demands nothing.
func anyone(s mesh.Source) bool {
	return len(s.Principals)+len(s.ServiceAccounts)+len(s.Namespaces)+len(s.IPBlocks)+len(s.NotIPBlocks) == 0 && !s.Meshed
}

// anyRoute is what a Server answers at all: everything, or what one of its routes
// matches.
func (s *guard) anyRoute() []mesh.Operation {
	var out []mesh.Operation
	for _, route := range s.routes {
		for _, op := range route.Matches {
			if !op.IsHTTP() {
				return nil // every request
			}
			out = append(out, op)
		}
	}
	return out
}

// unrouted denies, by 404, what no route of the Server matches; nil where there is no
// route, or one takes everything. Linkerd's proxy answers so before it looks who asks
// (HTTPRoute, "When no rules matching a request").
func (s *guard) unrouted() *mesh.AccessRule {
	answered := s.anyRoute()
	if answered == nil {
		return nil
	}
	return &mesh.AccessRule{
		ID: s.doc.ID() + "/unrouted", Name: "unrouted", Span: s.doc.Span, Action: mesh.Deny, ExceptTo: answered, Status: 404,
	}
}

// routeRules let callers send the requests of one route: those that a match of it
// takes, less those that go to another route because a match there comes first.
func (s *guard) routeRules(a *mesh.Authorization, from []mesh.Source) (rules []*mesh.AccessRule, about bool) {
	matches := s.matches()
	for i, m := range matches {
		if !isRoute(a.Route, m.route) {
			continue
		}
		about = true
		rule := allowed(a, "/"+m.route.Name+"#"+strconv.Itoa(m.index+1), from, nil)
		if m.op.IsHTTP() {
			rule.To = []mesh.Operation{m.op}
		}
		for _, earlier := range matches[:i] {
			if earlier.route != m.route {
				rule.ExceptTo = append(rule.ExceptTo, earlier.op)
			}
		}
		if !slices.ContainsFunc(rule.ExceptTo, func(o mesh.Operation) bool { return !o.IsHTTP() }) {
			rules = append(rules, rule) // otherwise an earlier route takes everything
		}
	}
	return rules, about
}

func isRoute(n *mesh.ObjectName, route *mesh.ServerRoute) bool {
	return n.Name == route.Name && n.Kind == route.Kind && n.Group == route.Group
}

// routeMatch is one match of a route.
type routeMatch struct {
	route *mesh.ServerRoute
	index int
	op    mesh.Operation
}

// matches are those of all routes in the order in which they are tried, which is the
// Gateway API's (HTTPRouteRule.matches): host, path, method, headers, then the
// route's name, then the order within it.
func (s *guard) matches() []routeMatch {
	var out []routeMatch
	for _, route := range s.routes {
		for i, op := range route.Matches {
			out = append(out, routeMatch{route, i, op})
		}
	}
	slices.SortStableFunc(out, func(a, b routeMatch) int {
		return cmp.Or(
			-cmp.Compare(hostRank(a.op), hostRank(b.op)),
			-cmp.Compare(pathRank(a.op), pathRank(b.op)),
			-cmp.Compare(len(a.op.Methods), len(b.op.Methods)),
			-cmp.Compare(len(a.op.Headers), len(b.op.Headers)),
			cmp.Compare(a.route.Name, b.route.Name),
			cmp.Compare(a.route.Kind, b.route.Kind),
			cmp.Compare(a.route.Group, b.route.Group),
			cmp.Compare(a.index, b.index),
		)
	})
	return out
}

// hostRank and pathRank put what is exact before what is longer. An operation of a
// route has at most one of each.
func hostRank(o mesh.Operation) int {
	if len(o.Hosts) == 0 {
		return 0
	}
	return rank(o.Hosts[0])
}

func pathRank(o mesh.Operation) int {
	if len(o.Paths) == 0 {
		return 0
	}
	return rank(o.Paths[0])
}

func rank(m mesh.StringMatch) int {
	switch m.Kind {
	case mesh.Exact:
		return 1<<20 + len(m.Value)
	case mesh.Regex: // Linkerd's proxy tries them after exact paths and before prefixes
		return 1<<16 + len(m.Value)
	}
	return 1 + len(strings.TrimSuffix(m.Value, "/"))
}

// unused reports authorizations and routes about what does not exist.
func (r *authenticating) unused() {
	for _, a := range r.c.in.Authorizations {
		if !r.used[a] {
			what := "selects no Server of this repository"
			if a.Route != nil {
				what = fmt.Sprintf("is about %s %s, which is no route of a Server of this repository", a.Route.Kind, a.Route.Name)
			}
			r.c.nothing(a.Origin, a.TargetAt, what)
		}
	}
	for _, route := range r.c.in.ServerRoutes {
		r.c.checkRouteRegexes(route)
		if !r.routes[route] {
			r.c.nothing(route.Origin, route.Servers[0].Span, "names no Server of this repository")
		}
	}
}

// checkRouteRegexes reports expressions of which Envoy would refuse the whole slice.
func (c *checker) checkRouteRegexes(route *mesh.ServerRoute) {
	for _, m := range accessRegexes(&mesh.AccessRule{To: route.Matches}) {
		if problem := c.regexProblem(m.Value); problem != "" {
			report(&c.diags, route.Origin, diag.Diagnostic{Code: RegexLimit, Severity: diag.Error, Span: m.Span, Message: problem})
		}
	}
}

func (c *checker) nothing(o mesh.Origin, at source.Span, what string) {
	report(&c.diags, o, diag.Diagnostic{
		Code: SelectsNothing, Severity: diag.Warning, Span: at, Message: o.Object() + " " + what,
	})
}

// inboundDefault is what the annotations of a workload or its namespace, or
// Linkerd's own defaults, say about ports without a Server; false where none do.
func (c *checker) inboundDefault(n *node, a *Access) bool {
	written := n.doc.Inbound
	if written.Value == mesh.InboundUnset {
		written = n.inherits.inbound
	}
	if written.Value == mesh.InboundUnset {
		return c.linkerdDefault(n, a)
	}
	a.DefaultReason, a.DefaultSpan = "default-inbound-policy: "+string(written.Value), written.Span
	if written.Value == mesh.InboundAllUnauthenticated {
		a.DefaultAllow = true
		return true
	}
	for _, rule := range c.defaultRules(n.doc.Origin, written) {
		list := a.list(rule.Action)
		*list = append(*list, rule)
	}
	return true
}

// linkerdDefault: all-unauthenticated, unless the Mesh document says otherwise.
func (c *checker) linkerdDefault(n *node, a *Access) bool {
	named := slices.ContainsFunc(c.set.access, func(ns mesh.NamespaceAccess) bool { return ns.Name == n.doc.Namespace })
	if c.set.Defaults != mesh.Linkerd || named || c.set.document.AccessDefault != "" {
		return false
	}
	a.DefaultAllow, a.DefaultReason = true, "Linkerd's default-inbound-policy is all-unauthenticated"
	return true
}

// defaultRules say whom a default lets in; none for nobody.
func (c *checker) defaultRules(o mesh.Origin, d mesh.WrittenDefault) []*mesh.AccessRule {
	rule := func(action mesh.AccessAction, from []mesh.Source) *mesh.AccessRule {
		name := string(d.Value)
		if action == mesh.Audit {
			name += "-log"
		}
		return &mesh.AccessRule{ID: o.ID() + "/" + name, Name: name, Span: d.Span, Action: action, From: from}
	}
	identity := []mesh.Source{{Principals: []mesh.StringMatch{{Kind: mesh.Prefix, Value: "spiffe://", Span: d.Span}}, Span: d.Span}}
	switch d.Value {
	case mesh.InboundAllUnauthenticated:
		return []*mesh.AccessRule{rule(mesh.Allow, nil)}
	case mesh.InboundAllAuthenticated:
		return []*mesh.AccessRule{rule(mesh.Allow, identity)}
	case mesh.InboundClusterUnauthenticated:
		return []*mesh.AccessRule{rule(mesh.Allow, c.clusterNetworks())}
	case mesh.InboundClusterAuthenticated:
		return []*mesh.AccessRule{rule(mesh.Allow, mesh.InNetworks(identity, c.clusterNetworks()))}
	case mesh.InboundAudit:
		return []*mesh.AccessRule{rule(mesh.Allow, nil), rule(mesh.Audit, nil)}
	}
	return nil
}
