package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// PortLimits are the limits of the requests that a port takes.
type PortLimits struct {
	Port   uint32 // of the workload
	Limits []RateLimit
	// Table has the rules that limits name; nil where none does.
	Table *Port
}

// RateLimit is one limit. Values compare by ==.
type RateLimit struct {
	Policy   string // "namespace/name"
	Name     string
	Requests uint32
	Per      time.Duration
	Burst    uint32
	Rule     string // id of a rule of Table; "": every request
	By       mesh.RateLimitKey
	Limiter  Limiter // without Backend: the proxy counts on its own
	// AllowUnavailable lets requests through where the limiter does not answer.
	AllowUnavailable bool
}

// Limiter is a rate-limit service.
type Limiter struct {
	Name    string
	Backend *Backend
	Timeout time.Duration
}

// Equal reports whether the same limits are applied to the same rules.
func (p *PortLimits) Equal(o *PortLimits) bool {
	if p == nil || o == nil {
		return p == o
	}
	return p.Port == o.Port && p.Table == o.Table && slices.Equal(p.Limits, o.Limits)
}

// LimitsOf returns the limits of a port, nil where there are none.
func (w *Workload) LimitsOf(port uint32) *PortLimits {
	i, ok := slices.BinarySearchFunc(w.Limits, port, func(p *PortLimits, port uint32) int { return cmp.Compare(p.Port, port) })
	if !ok {
		return nil
	}
	return w.Limits[i]
}

// Limiters returns the backends that the workload's proxies ask, each once.
func (w *Workload) Limiters() (out []*Backend) {
	for _, p := range w.Limits {
		for i := range p.Limits {
			if b := p.Limits[i].Limiter.Backend; b != nil && !slices.Contains(out, b) {
				out = append(out, b)
			}
		}
	}
	return out
}

// rateLimits decides the limits of workloads. Like gateways they hang on the value
// with a scope, and are decided anew in each run.
func (c *checker) rateLimits() {
	said := len(c.diags)
	limiters := c.limiters()
	byNode := map[*node]map[uint32]*PortLimits{}
	first := map[string]*mesh.RateLimitPolicy{}
	for _, p := range c.in.RateLimits {
		if c.limitsAgain(first, p) {
			continue
		}
		c.limitTargets(p, limiters, byNode)
	}
	for i, n := range c.nodes {
		c.limitFrom(i, byNode[n])
	}
	c.now = append(c.now, c.diags[said:]...) // found again in the next run
	c.diags = c.diags[:said]
}

// limitFrom puts the limits into the value of a workload.
func (c *checker) limitFrom(i int, ports map[uint32]*PortLimits) {
	if len(ports) == 0 && len(c.full[i].Limits) == 0 {
		return // most workloads, in each run
	}
	var limits []*PortLimits
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		limits = append(limits, ports[port])
	}
	if slices.EqualFunc(c.full[i].Limits, limits, (*PortLimits).Equal) {
		return
	}
	full := *c.full[i]
	full.Limits = limits
	c.full[i] = &full
}

// limiters resolves the rate-limit services of the mesh, by name; those that are
// declared wrongly have no backend.
func (c *checker) limiters() map[string]Limiter {
	out := map[string]Limiter{}
	if c.set.document == nil {
		return out
	}
	for i := range c.set.document.Limiters {
		doc := &c.set.document.Limiters[i]
		out[doc.Name] = Limiter{Name: doc.Name, Backend: c.limiterBackend(doc), Timeout: doc.Timeout}
	}
	return out
}

func (c *checker) limiterBackend(doc *mesh.Limiter) *Backend {
	origin := c.set.document.Origin
	s := c.names.service(doc.Service, "")
	if s == nil { // also where what is unknown is assumed: a limit must not be lost
		report(&c.diags, origin, diag.Diagnostic{
			Code: UnknownDestination, Severity: diag.Error, Span: doc.Service.Span,
			Message: fmt.Sprintf("no service %s, which rate limits would ask", doc.Service),
			Fix:     c.suggestService(doc.Service, ""),
		})
		return nil
	}
	p := s.svc.Port(doc.Port)
	if p == nil {
		s.missingPort(&c.diags, origin, doc.PortAt, doc.Port)
		return nil
	}
	if p.Protocol != mesh.GRPC && p.Protocol != mesh.HTTP2 {
		report(&c.diags, origin, diag.Diagnostic{
			Code: PortMismatch, Severity: diag.Error, Span: doc.PortAt,
			Message: fmt.Sprintf("port %d of service %s is %s, and a rate-limit service speaks grpc", p.Number, s.key, p.Protocol),
			Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		})
		return nil
	}
	b := p.Backend("")
	if b == nil {
		report(&c.diags, origin, diag.Diagnostic{
			Code: UnknownDestination, Severity: diag.Error, Span: doc.Service.Span,
			Message: fmt.Sprintf("service %s is only assumed, and proxies must know where to ask", s.key),
			Fix:     &diag.Fix{Message: "declare it with an ExternalService"},
		})
	}
	return b
}

// limitsAgain reports a second policy about one service or workload.
func (c *checker) limitsAgain(first map[string]*mesh.RateLimitPolicy, p *mesh.RateLimitPolicy) bool {
	what := "workload " + p.Namespace + "/" + p.Target.Workload
	if p.Target.Service != nil {
		what = "service " + refKey(*p.Target.Service, p.Namespace)
	}
	have := first[what]
	if have == nil {
		first[what] = p
		return false
	}
	report(&c.diags, p.Origin, diag.Diagnostic{
		Code: DuplicatePolicy, Severity: diag.Error, Span: p.Target.Span,
		Message: fmt.Sprintf("%s already has %s", what, have.Object()),
		Related: []diag.Related{{Span: have.Span, Message: "the first, which is used"}},
		Fix:     &diag.Fix{Message: "make one document of the two"},
	})
	return true
}

// limitTargets adds the limits of a policy to the ports that it is about.
func (c *checker) limitTargets(p *mesh.RateLimitPolicy, limiters map[string]Limiter, byNode map[*node]map[uint32]*PortLimits) {
	nodes, known := c.targets(p.Origin, &p.Target)
	if known && len(nodes) == 0 {
		c.selectsNothing(p.Origin, p.Target.Span, c.severityOfNoLimit())
	}
	for i := range p.Limits {
		c.checkLimiter(p, &p.Limits[i], limiters)
	}
	if !known {
		return
	}
	c.checkLimitedRules(p)
	requests := false
	var other *Inbound
	for _, n := range nodes {
		if len(n.gateways) > 0 {
			c.limitsGateway(p, n)
			return
		}
		for _, in := range n.server.Inbound {
			table, concerned := limitedPort(p, in)
			switch {
			case !concerned:
			case in.Protocol.IsHTTP():
				requests = true
				c.addLimits(p, n, in, table, limiters, byNode)
			default:
				other = in
			}
		}
	}
	if other != nil {
		c.limitsConnections(p, other, requests)
	}
}

func (c *checker) severityOfNoLimit() diag.Severity {
	if c.opt.AssumeExternal {
		return diag.Warning
	}
	return diag.Error // its author believes in it
}

// limitedPort reports whether a policy is about an inbound port, and by which port of
// the service.
func limitedPort(p *mesh.RateLimitPolicy, in *Inbound) (*Port, bool) {
	if p.Target.Service == nil {
		return nil, true
	}
	key := refKey(*p.Target.Service, p.Namespace)
	i := slices.IndexFunc(in.Services, func(sp *Port) bool { return sp.Service.Key() == key })
	if i < 0 {
		return nil, false
	}
	return in.Services[i], true
}

func (c *checker) addLimits(p *mesh.RateLimitPolicy, n *node, in *Inbound, table *Port, limiters map[string]Limiter, byNode map[*node]map[uint32]*PortLimits) {
	if byNode[n] == nil {
		byNode[n] = map[uint32]*PortLimits{}
	}
	limits := byNode[n][in.Port]
	if limits == nil {
		limits = &PortLimits{Port: in.Port}
		byNode[n][in.Port] = limits
	}
	for i := range p.Limits {
		doc := &p.Limits[i]
		l := RateLimit{
			Policy: p.Namespace + "/" + p.Name, Name: doc.Name, Requests: doc.Requests, Per: doc.Per, Burst: doc.Burst,
			By: doc.RateLimitKey, AllowUnavailable: doc.AllowUnavailable,
		}
		if doc.Provider != "" {
			l.Limiter = limiters[doc.Provider]
			if l.Limiter.Backend == nil {
				continue // reported
			}
		}
		if doc.Rule != "" {
			rule := ruleNamed(table, doc.Rule)
			if rule == nil {
				continue // reported, or of another port of the service
			}
			if limits.Table != nil && limits.Table != table {
				c.twoTables(p, doc, limits.Table, table)
				continue
			}
			if in.Access.Answered() != nil {
				c.serverRoutes(p, doc, in)
				continue
			}
			limits.Table, l.Rule = table, rule.ID
		}
		limits.Limits = append(limits.Limits, l)
	}
	if stages := stagesOf(limits.Limits); stages > maxStages {
		c.tooManyStages(p, in, stages)
	}
}

// maxStages is how many times the proxy may ask for one request: stages 1 to 10 of
// Envoy's filters, 0 being the proxy's own count.
const maxStages = 10

func stagesOf(limits []RateLimit) int {
	asked := map[RateLimit]bool{}
	for i := range limits {
		if l := &limits[i]; l.Limiter.Backend != nil {
			asked[RateLimit{Limiter: l.Limiter, AllowUnavailable: l.AllowUnavailable}] = true
		}
	}
	return len(asked)
}

func (c *checker) tooManyStages(p *mesh.RateLimitPolicy, in *Inbound, stages int) {
	report(&c.diags, p.Origin, diag.Diagnostic{
		Code: Unsupported, Severity: diag.Error,
		Message: fmt.Sprintf("the proxy would ask %d providers about each request for port %d, and Envoy asks at most %d", stages, in.Port, maxStages),
	})
}

func (c *checker) twoTables(p *mesh.RateLimitPolicy, doc *mesh.RateLimit, first, second *Port) {
	report(&c.diags, p.Origin, diag.Diagnostic{
		Code: Unsupported, Severity: diag.Error, Span: doc.RuleAt,
		Message: fmt.Sprintf("services %s and %s lead to one port of a workload, and both have limits by rule: a request does not say whose rules it meets", first.Service.Key(), second.Service.Key()),
		Fix:     &diag.Fix{Message: "give the services ports of their own, or leave rule out"},
	})
}

// serverRoutes refuses limits by rule where routes of a Server (Linkerd) say what the port
// answers: the proxy has one route table for a port.
func (c *checker) serverRoutes(p *mesh.RateLimitPolicy, doc *mesh.RateLimit, in *Inbound) {
	report(&c.diags, p.Origin, diag.Diagnostic{
		Code: Unsupported, Severity: diag.Error, Span: doc.RuleAt,
		Message: fmt.Sprintf("a limit by rule is not supported on port %d, which has routes of a Server", in.Port),
		Fix:     &diag.Fix{Message: "leave rule out: the limit is for every request to the port"},
	})
}

// checkLimiter reports a provider that the mesh does not have.
func (c *checker) checkLimiter(p *mesh.RateLimitPolicy, doc *mesh.RateLimit, limiters map[string]Limiter) {
	if _, ok := limiters[doc.Provider]; ok || doc.Provider == "" {
		return
	}
	d := diag.Diagnostic{
		Code: UnknownDestination, Severity: diag.Error, Span: doc.ProviderAt,
		Message: "the mesh has no rate-limit service " + doc.Provider,
		Fix:     suggest(doc.Provider, slices.Sorted(maps.Keys(limiters))),
	}
	if d.Fix == nil {
		d.Fix = &diag.Fix{Message: "declare it in the Mesh document: spec.providers.rateLimits"}
	}
	report(&c.diags, p.Origin, d)
}

// checkLimitedRules reports rules that the service's route does not have, or whose
// requests its proxy could not tell.
func (c *checker) checkLimitedRules(p *mesh.RateLimitPolicy) {
	if p.Target.Service == nil {
		return
	}
	s := c.names.find(*p.Target.Service, p.Namespace)
	if s == nil || s.svc == nil {
		return
	}
	for i := range p.Limits {
		doc := &p.Limits[i]
		if doc.Rule == "" {
			continue
		}
		var rule *Rule
		var known []string
		for _, port := range s.svc.Ports {
			rule = cmp.Or(rule, ruleNamed(port, doc.Rule))
			for _, r := range port.Rules {
				if !r.Default {
					known = append(known, r.Name)
				}
			}
		}
		if rule == nil {
			c.unknownRule(p, doc, s, known)
		} else if why := untold(rule, s.svc); why != "" {
			report(&c.diags, p.Origin, diag.Diagnostic{
				Code: Unsupported, Severity: diag.Error, Span: doc.RuleAt,
				Message: fmt.Sprintf("rule %q %s", doc.Rule, why),
				Related: []diag.Related{{Span: rule.Span, Message: "the rule"}},
			})
		}
	}
}

func (c *checker) unknownRule(p *mesh.RateLimitPolicy, doc *mesh.RateLimit, s *site, known []string) {
	d := diag.Diagnostic{
		Code: UnknownRule, Severity: diag.Error, Span: doc.RuleAt,
		Message: fmt.Sprintf("the route of service %s has no rule %q", s.key, doc.Rule),
		Fix:     suggest(doc.Rule, known),
	}
	if len(known) == 0 {
		d.Message = fmt.Sprintf("service %s has no route with a rule %q", s.key, doc.Rule)
	}
	if d.Fix == nil {
		d.Fix = &diag.Fix{Message: "write a rule of that name in a route of the service, or leave rule out"}
	}
	report(&c.diags, p.Origin, d)
}

func ruleNamed(table *Port, name string) *Rule {
	if table == nil {
		return nil
	}
	for _, r := range table.Rules {
		if r.Name == name && !r.Default {
			return r
		}
	}
	return nil
}

// untold says why requests that a rule matched at the caller cannot be told where they
// arrive, "" where they can.
func untold(r *Rule, s *Service) string {
	switch {
	case r.AsksCaller():
		return "is for some callers only: write by: {caller: true} and no rule"
	case r.Rewrite != nil:
		return "rewrites requests: they arrive as others than those that it matches"
	case !slices.ContainsFunc(r.To, func(d Destination) bool { return d.Backend != nil && d.Backend.Port.Service == s }):
		return "sends nothing to service " + s.Key() + ", whose proxies count"
	}
	return ""
}

// limitsConnections reports ports without requests to count.
func (c *checker) limitsConnections(p *mesh.RateLimitPolicy, in *Inbound, requests bool) {
	d := diag.Diagnostic{
		Code: HTTPOnly, Severity: diag.Error, Span: p.Target.Span,
		Message: fmt.Sprintf("limits count requests, and port %d is %s: there are only connections", in.Port, in.Protocol),
	}
	if requests {
		d.Severity = diag.Warning
		d.Message += ", which no limit bounds"
	}
	report(&c.diags, p.Origin, d)
}

func (c *checker) limitsGateway(p *mesh.RateLimitPolicy, n *node) {
	report(&c.diags, p.Origin, diag.Diagnostic{
		Code: Unsupported, Severity: diag.Error, Span: cmp.Or[source.Span](p.Target.Span, p.Span),
		Message: fmt.Sprintf("workload %s serves gateways, where limits are not supported yet: write them for the services that it leads to", n.key),
	})
}
