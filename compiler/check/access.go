package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// access attaches access and peer policies to the workloads that they select.
func (c *checker) access() {
	for _, p := range c.in.PeerPolicies {
		c.of(p, func() { c.peerTargets(p) })
	}
	for _, p := range c.in.AccessPolicies {
		c.of(p, func() { c.accessTargets(p) })
	}
	for _, n := range c.nodes {
		n.checkPeers()
	}
}

func (c *checker) peerTargets(p *mesh.PeerPolicy) {
	nodes, known := c.targets(p.Origin, &p.Target)
	for _, n := range nodes {
		n.peers = append(n.peers, p)
	}
	if known && len(nodes) == 0 {
		c.selectsNothing(p.Origin, p.Target.Span, diag.Warning)
	}
	c.checkPeerPorts(p, nodes)
}

func (c *checker) accessTargets(p *mesh.AccessPolicy) {
	c.checkAccessPolicy(p)
	nodes, known := c.targets(p.Origin, &p.Target)
	for _, n := range nodes {
		n.policies = append(n.policies, p)
	}
	if known && len(nodes) == 0 {
		c.selectsNothing(p.Origin, p.Target.Span, c.severityOfNothing(p))
	}
}

// targets returns the workloads that a policy selects; known is false where the
// target itself does not exist, which is reported here.
func (c *checker) targets(o mesh.Origin, t *mesh.Target) (nodes []*node, known bool) {
	switch {
	case t.MeshWide && len(t.Selector) == 0:
		return c.nodes, len(c.nodes) > 0
	case t.NamespaceWide:
		return c.inNamespace(o.Namespace), true
	case t.Service != nil:
		return c.serviceTarget(o, t)
	case t.Workload != "":
		if n := c.node(o.Namespace + "/" + t.Workload); n != nil {
			return []*node{n}, true
		}
		return nil, true
	case t.MeshWide:
		for _, n := range c.nodes {
			if Selects(t.Selector, n.doc.Labels) {
				nodes = append(nodes, n)
			}
		}
		return nodes, true
	}
	return c.selected(o.Namespace, t.Selector), true
}

func (c *checker) serviceTarget(o mesh.Origin, t *mesh.Target) ([]*node, bool) {
	s := c.names.find(*t.Service, o.Namespace)
	if s == nil {
		c.unknownTarget(o, *t.Service, o.Namespace)
		return nil, false
	}
	if s.ns != o.Namespace {
		report(&c.diags, o, diag.Diagnostic{
			Code: MissingGrant, Severity: diag.Error, Span: t.Service.Span,
			Message: fmt.Sprintf("service %s is of another namespace: its owner says who may call it", s.key),
		})
		return nil, false
	}
	return s.nodes, true
}

// selectsNothing reports a policy without effect. A deny that protects nothing
// is an error: its author believes in it.
func (c *checker) selectsNothing(o mesh.Origin, at source.Span, severity diag.Severity) {
	report(&c.diags, o, diag.Diagnostic{
		Code: SelectsNothing, Severity: severity, Span: at,
		Message: o.Object() + " selects no workload of this repository",
	})
}

func (c *checker) severityOfNothing(p *mesh.AccessPolicy) diag.Severity {
	if c.opt.AssumeExternal { // what it protects may be elsewhere as well
		return diag.Warning
	}
	if slices.ContainsFunc(p.Rules, func(r *mesh.AccessRule) bool { return r.Action == mesh.Deny }) {
		return diag.Error
	}
	return diag.Warning
}

// checkAccessPolicy reports what does not depend on the workloads selected.
func (c *checker) checkAccessPolicy(p *mesh.AccessPolicy) {
	for _, r := range p.Rules {
		if r.Action == mesh.Custom {
			report(&c.diags, p.Origin, diag.Diagnostic{
				Code: Unsupported, Severity: diag.Error, Span: r.Span,
				Message: "custom access rules ask an external authorizer, which is not supported yet",
			})
		}
		for _, m := range accessRegexes(r) {
			if problem := c.regexProblem(m.Value); problem != "" {
				report(&c.diags, p.Origin, diag.Diagnostic{Code: RegexLimit, Severity: diag.Error, Span: m.Span, Message: problem})
			}
		}
	}
	if p.Target.Service != nil {
		c.checkAccessPorts(p)
	}
}

// checkAccessPorts reports ports that the target service does not have.
func (c *checker) checkAccessPorts(p *mesh.AccessPolicy) {
	s := c.names.find(*p.Target.Service, p.Namespace)
	if s == nil {
		return
	}
	for _, r := range p.Rules {
		if !r.ServicePorts {
			continue
		}
		for _, op := range slices.Concat(r.To, r.ExceptTo) {
			for _, number := range slices.Concat(op.Ports, op.NotPorts) {
				if s.port(number) == nil {
					report(&c.diags, p.Origin, diag.Diagnostic{
						Code: PortMismatch, Severity: diag.Error, Span: cmp.Or(op.Span, r.Span),
						Message: fmt.Sprintf("rule %q names port %d, but service %s has %s", r.Name, number, s.key, s.portList()),
						Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
					})
				}
			}
		}
	}
}

func accessRegexes(r *mesh.AccessRule) []mesh.StringMatch {
	var all []mesh.StringMatch
	add := func(lists ...[]mesh.StringMatch) {
		for _, list := range lists {
			for i := range list {
				if list[i].Kind == mesh.Regex {
					all = append(all, list[i])
				}
			}
		}
	}
	for _, list := range [][]mesh.Source{r.From, r.ExceptFrom} {
		for i := range list {
			s := &list[i]
			add(s.Principals, s.NotPrincipals, s.Namespaces, s.NotNamespaces)
		}
	}
	for _, list := range [][]mesh.Operation{r.To, r.ExceptTo} {
		for i := range list {
			o := &list[i]
			add(o.Methods, o.NotMethods, o.Paths, o.NotPaths, o.Hosts, o.NotHosts)
			for _, h := range o.Headers {
				add([]mesh.StringMatch{h.StringMatch})
			}
		}
	}
	for _, w := range r.When {
		add(w.Values, w.NotValues)
	}
	return all
}

// accessOf decides which rules concern an inbound port.
func (c *checker) accessOf(n *node, in *Inbound) Access {
	var a Access
	server := n.serverAt(in.Port)
	policies := n.policies
	if server != nil {
		policies = slices.Concat(policies, server.policies)
	}
	for _, p := range policies {
		if !concerns(p, in) {
			continue
		}
		for _, r := range p.Rules {
			at := inboundRule{node: n, in: in, policy: p, rule: r}
			if decided := at.decide(); decided != nil {
				list := a.list(r.Action)
				*list = append(*list, decided)
			}
		}
	}
	for _, list := range [][]*mesh.AccessRule{a.Deny, a.Allow, a.Audit, a.Custom} {
		slices.SortStableFunc(list, func(x, y *mesh.AccessRule) int { return cmp.Compare(x.ID, y.ID) })
	}
	if server != nil {
		if rule := server.unrouted(); rule != nil && in.Protocol.IsHTTP() {
			a.Deny = slices.Insert(a.Deny, 0, rule)
		}
		a.DefaultReason, a.DefaultSpan = server.doc.Object()+" lets in only who is authorized", server.doc.Span
		return a
	}
	c.accessDefault(n, &a)
	return a
}

func (a *Access) list(action mesh.AccessAction) *[]*mesh.AccessRule {
	switch action {
	case mesh.Deny:
		return &a.Deny
	case mesh.Audit:
		return &a.Audit
	case mesh.Custom:
		return &a.Custom
	}
	return &a.Allow
}

// concerns reports whether a policy about one service is about this port.
func concerns(p *mesh.AccessPolicy, in *Inbound) bool {
	if p.Target.Service == nil || len(in.Services) == 0 {
		return p.Target.Service == nil
	}
	return slices.ContainsFunc(in.Services, func(sp *Port) bool { return isTarget(p, sp.Service) })
}

func isTarget(p *mesh.AccessPolicy, s *Service) bool {
	if p.Target.Service.Host != "" {
		return true // Istio's targets are selectors, gateways and waypoints; none is per port
	}
	return refKey(*p.Target.Service, p.Namespace) == s.Key()
}

// accessDefault is what holds where no rule matches, on a port without a Server.
// Istio: allowed, unless an ALLOW policy selects the workload. Otherwise as the mesh says, which never
// changes a workload that only Istio's policies select.
func (c *checker) accessDefault(n *node, a *Access) {
	var closing *mesh.AccessPolicy // Istio ALLOW
	native := c.set.Defaults == mesh.Native && len(n.policies) == 0
	for _, p := range n.policies {
		switch {
		case p.Dialect != mesh.Istio:
			native = true
		case closing == nil && closes(p):
			closing = p
		}
	}
	if closing != nil {
		a.DefaultReason = closing.Object() + " allows only what it says"
		a.DefaultSpan = closing.Span
		return
	}
	if len(n.policies) == 0 && c.inboundDefault(n, a) {
		return
	}
	if !native {
		a.DefaultAllow, a.DefaultReason = true, "no ALLOW policy of Istio selects the workload"
		return
	}
	c.nativeDefault(n.doc.Namespace, a)
}

func closes(p *mesh.AccessPolicy) bool {
	return p.AllowsNothing || slices.ContainsFunc(p.Rules, func(r *mesh.AccessRule) bool { return r.Action == mesh.Allow })
}

func (c *checker) nativeDefault(namespace string, a *Access) {
	for _, ns := range c.set.access {
		if ns.Name == namespace {
			a.DefaultAllow, a.DefaultSpan = ns.Allow, ns.Span
			a.DefaultReason = "the Mesh document opens namespace " + namespace
			if !ns.Allow {
				a.DefaultReason = "the Mesh document closes namespace " + namespace
			}
			return
		}
	}
	a.DefaultAllow, a.DefaultReason = c.set.accessAllow, "the mesh denies unless allowed"
	if c.set.accessAllow {
		a.DefaultReason = "the mesh allows unless denied"
	}
	if c.set.document != nil {
		a.DefaultSpan = c.set.document.Span
	}
}
