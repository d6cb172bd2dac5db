package reach

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Decision about access.
type Decision string

// Decisions. NotAsked: the request reaches no proxy that could refuse it,
// because the caller's own proxy answers.
const (
	Allow    Decision = "allow"
	Deny     Decision = "deny"
	NotAsked Decision = "none"
)

// Access is what the callee's proxies decide.
type Access struct {
	Decision Decision
	Rule     *mesh.AccessRule // nil where the default or the transport decided
	Span     source.Span      // of the rule, or of what set the default
	Reason   string           // for people, where no rule decided
	// Status that the caller's application sees for a denial: 403, that of the rule
	// where it has its own, or 503 where
	// the connection is refused; 0 for an allowed request and for a caller whose
	// connection is closed.
	Status uint32
	// Workloads that were asked, each with its own decision.
	Workloads []WorkloadAccess
	// Audit are the audit rules that log the request.
	Audit []*mesh.AccessRule
}

// WorkloadAccess is the decision of one workload behind the destinations.
type WorkloadAccess struct {
	Workload *check.Workload
	Backend  *check.Backend
	Access
}

// judge applies access rules.
type judge struct {
	patterns    *patterns
	trustDomain string
}

// caller is who a callee's proxy sees.
type caller struct {
	identity     string // "" without
	peer, client netip.Addr
}

// tri is three-valued: a condition on something unknown may hold.
type tri int

const (
	no tri = iota
	maybe
	yes
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

func (t tri) not() tri { return yes - t }

// anyOf is yes for an empty list.
func anyOf[T any](list []T, holds func(*T) tri) tri {
	if len(list) == 0 {
		return yes
	}
	out := no
	for i := range list {
		out = max(out, holds(&list[i]))
	}
	return out
}

// noneOf is yes for an empty list.
func noneOf[T any](list []T, holds func(*T) tri) tri {
	if len(list) == 0 {
		return yes
	}
	return anyOf(list, holds).not()
}

// decide applies a port's rules: any deny, else any allow, else the default.
func (j *judge) decide(a *check.Access, c *caller, m *message) Access {
	out := Access{}
	for _, r := range a.Audit {
		if j.rule(r, c, m) == yes {
			out.Audit = append(out.Audit, r)
		}
	}
	if r, t := j.firstRule(a.Deny, c, m); t != no {
		return out.by(r, Deny, t)
	}
	if a.DefaultAllow {
		return out.because(Allow, a.DefaultReason, a.DefaultSpan)
	}
	r, t := j.firstRule(a.Allow, c, m)
	switch t {
	case yes:
		return out.by(r, Allow, t)
	case maybe:
		return out.by(r, Deny, t)
	}
	return out.because(Deny, a.DefaultReason, a.DefaultSpan)
}

// firstRule returns the first rule that holds, or else the first that may.
func (j *judge) firstRule(rules []*mesh.AccessRule, c *caller, m *message) (*mesh.AccessRule, tri) {
	var found *mesh.AccessRule
	best := no
	for _, r := range rules {
		if t := j.rule(r, c, m); t > best {
			found, best = r, t
		}
		if best == yes {
			break
		}
	}
	return found, best
}

func (a Access) by(r *mesh.AccessRule, d Decision, t tri) Access {
	a.Decision, a.Rule, a.Span = d, r, r.Span
	if d == Deny && t == yes && r.Status != 0 {
		a.Status = r.Status
		return a
	}
	if t == maybe {
		a.Reason = fmt.Sprintf("undecided: rule %q asks for something that the request does not say, such as an address", r.ID)
	}
	return a.withStatus()
}

func (a Access) because(d Decision, reason string, at source.Span) Access {
	a.Decision, a.Reason, a.Span = d, reason, at
	return a.withStatus()
}

func (a Access) withStatus() Access {
	if a.Decision == Deny {
		a.Status = 403
	}
	return a
}

// rule reports whether a rule holds: from, to and when, less what both
// exceptions describe.
func (j *judge) rule(r *mesh.AccessRule, c *caller, m *message) tri {
	source := func(s *mesh.Source) tri { return j.source(s, c) }
	operation := func(o *mesh.Operation) tri { return j.operation(o, m) }
	holds := min(anyOf(r.From, source), anyOf(r.To, operation))
	for i := range r.When {
		holds = min(holds, j.condition(&r.When[i], c, m))
	}
	if len(r.ExceptFrom)+len(r.ExceptTo) == 0 {
		return holds
	}
	excepted := min(anyOf(r.ExceptFrom, source), anyOf(r.ExceptTo, operation))
	if len(r.ExceptFrom) > 0 && c.identity == "" {
		excepted = no // an exception that names callers never covers those without identity
	}
	return min(holds, excepted.not())
}

func (j *judge) source(s *mesh.Source, c *caller) tri {
	principal := func(p *mesh.StringMatch) tri { return triOf(c.identity != "" && j.patterns.value(p, c.identity)) }
	account := func(a *mesh.AccountRef) tri { return triOf(c.identity == j.spiffe(a.Namespace, a.Name)) }
	namespace := func(n *mesh.StringMatch) tri { return triOf(j.inNamespace(n, c.identity)) }
	peer := func(block *string) tri { return inBlock(*block, c.peer) }
	client := func(block *string) tri { return inBlock(*block, c.client) }
	return min(
		anyOf(s.Principals, principal), noneOf(s.NotPrincipals, principal),
		anyOf(s.ServiceAccounts, account), noneOf(s.NotServiceAccounts, account),
		anyOf(s.Namespaces, namespace), noneOf(s.NotNamespaces, namespace),
		anyOf(s.IPBlocks, peer), noneOf(s.NotIPBlocks, peer),
		anyOf(s.RemoteIPBlocks, client), noneOf(s.NotRemoteIPBlocks, client),
		triOf(!s.Meshed || strings.HasPrefix(c.identity, "spiffe://"+j.trustDomain+"/")),
	)
}

func (j *judge) spiffe(namespace, account string) string {
	return check.SPIFFE(j.trustDomain, namespace, account)
}

// inNamespace compares the namespace within an identity of the mesh's own trust domain.
func (j *judge) inNamespace(n *mesh.StringMatch, identity string) bool {
	rest, ok := strings.CutPrefix(identity, "spiffe://"+j.trustDomain+"/ns/")
	name, _, more := strings.Cut(rest, "/")
	return ok && more && j.patterns.value(n, name)
}

func inBlock(block string, addr netip.Addr) tri {
	if !addr.IsValid() {
		return maybe
	}
	if prefix, err := netip.ParsePrefix(block); err == nil {
		return triOf(prefix.Contains(addr.Unmap()))
	}
	single, err := netip.ParseAddr(block)
	return triOf(err == nil && single == addr)
}

func (j *judge) operation(o *mesh.Operation, m *message) tri {
	if m == nil { // not HTTP: no rule there speaks of requests
		return triOf(!o.IsHTTP())
	}
	method := func(s *mesh.StringMatch) tri { return triOf(j.patterns.value(s, m.method)) }
	path := func(s *mesh.StringMatch) tri { return triOf(j.patterns.value(s, m.path)) }
	host := func(s *mesh.StringMatch) tri { return triOf(j.host(s, m.authority)) }
	return min(
		anyOf(o.Methods, method), noneOf(o.NotMethods, method),
		anyOf(o.Paths, path), noneOf(o.NotPaths, path),
		anyOf(o.Hosts, host), noneOf(o.NotHosts, host),
		triOf(j.patterns.all(o.Headers, m.values, j.patterns.header)),
	)
}

// host compares the authority without regard to case; where the rule names no
// port, with or without one, as package authz writes it.
func (j *judge) host(s *mesh.StringMatch, authority string) bool {
	h := *s
	h.IgnoreCase = true
	if strings.Contains(h.Value, ":") || h.Kind == mesh.Prefix || h.Kind == mesh.Present {
		return j.patterns.value(&h, authority)
	}
	return j.patterns.matches("(?:"+envoymatch.Pattern(h)+")(?::[0-9]*)?", authority)
}

var headerKey = regexp.MustCompile(`^request\.headers\[(.+)\]$`)

// condition is an Istio `when` entry.
func (j *judge) condition(when *mesh.Condition, c *caller, m *message) tri {
	holds := j.conditionValue(when.Key, c, m)
	return min(anyOf(when.Values, holds), noneOf(when.NotValues, holds))
}

func (j *judge) conditionValue(key string, c *caller, m *message) func(*mesh.StringMatch) tri {
	if name := headerKey.FindStringSubmatch(key); name != nil && m != nil {
		values := m.values(strings.ToLower(name[1]))
		return func(s *mesh.StringMatch) tri {
			return triOf(j.patterns.some(&mesh.HeaderMatch{StringMatch: *s}, values))
		}
	}
	switch key {
	case "source.ip":
		return func(s *mesh.StringMatch) tri { return inBlock(s.Value, c.peer) }
	case "remote.ip":
		return func(s *mesh.StringMatch) tri { return inBlock(s.Value, c.client) }
	case "source.namespace":
		return func(s *mesh.StringMatch) tri { return triOf(j.inNamespace(s, c.identity)) }
	case "source.principal":
		return func(s *mesh.StringMatch) tri { return triOf(c.identity != "" && j.patterns.value(s, c.identity)) }
	}
	return func(*mesh.StringMatch) tri { return maybe } // destination.ip, connection.sni
}
