package timeoutinversion

import (
	"fmt"
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// edges compares the timeout of a rule with those of the calls that the
// destination's workloads declare (`uses`): both written, since defaults are
// nobody's intent. Two calls of the callee one after the other are not added up.
func edges(p *analyze.Pass) {
	times := analyze.ServiceFacts(p, timingOf)
	calls := slowest(p, times)
	if !slices.ContainsFunc(calls.own, func(c *call) bool { return c != nil }) {
		return
	}
	touched := func(i int) bool { return slices.ContainsFunc(times[i].to, calls.changedBehind) }
	p.ServicesBut("edges", touched, func(s *check.Service) {
		if t := timingOf(s); t.tightest == 0 || calls.behind(t.to) <= t.tightest {
			return
		}
		var seen []string
		for _, port := range s.Ports {
			for k, r := range port.Rules {
				if r.Timeout == 0 || !r.TimeoutAt.IsValid() || slices.Contains(seen, r.ID) {
					continue
				}
				if c := calls.longest(r); c != nil && c.timeout > r.Timeout {
					seen = append(seen, r.ID)
					edge(p, port, k, c)
				}
			}
		}
	})
}

// call is the slowest call that a workload may make.
type call struct {
	workload *check.Workload
	rule     *check.Rule
	port     *check.Port
	timeout  time.Duration
}

// calls are the slowest calls of all workloads.
type calls struct {
	mesh    *check.Mesh
	own     []*call                  // of mesh.Workloads
	changed map[*check.Workload]bool // servers whose calls may be others than in the run before
}

// of is the slowest call of a server, nil where it makes none.
func (c *calls) of(server *check.Workload) *call {
	if i, ok := c.mesh.WorkloadIndex(server.Key()); ok {
		return c.own[i]
	}
	return nil
}

func (c *calls) changedBehind(s *check.Service) bool {
	return slices.ContainsFunc(s.Workloads, func(w *check.Workload) bool { return c.changed[w] })
}

// behind is the longest timeout of a call by the workloads of some services.
func (c *calls) behind(services []*check.Service) (longest time.Duration) {
	for _, s := range services {
		for _, w := range s.Workloads {
			if call := c.of(w); call != nil {
				longest = max(longest, call.timeout)
			}
		}
	}
	return longest
}

// timing is what the comparison needs of a service whose rules need no closer look.
type timing struct {
	asking   bool             // some rules are for some callers only
	slowest  *call            // of anyone, where no rule asks who calls
	tightest time.Duration    // the shortest written timeout of a rule; 0: none
	to       []*check.Service // that the rules lead to
}

func timingOf(s *check.Service) *timing {
	t := &timing{asking: slices.ContainsFunc(s.Ports, analyze.AsksWhoCalls)}
	if !t.asking {
		t.slowest = slowestOf(s, nil)
	}
	for _, port := range s.Ports {
		for _, r := range port.Rules {
			if r.Timeout == 0 || !r.TimeoutAt.IsValid() {
				continue
			}
			if t.tightest == 0 || r.Timeout < t.tightest {
				t.tightest = r.Timeout
			}
			for i := range r.To {
				if to := r.To[i].Backend.Port.Service; !slices.Contains(t.to, to) {
					t.to = append(t.to, to)
				}
			}
		}
	}
	return t
}

// slowest finds, for each workload, the call with the longest written timeout.
func slowest(p *analyze.Pass, times []*timing) *calls {
	known := scopes{p, times, map[**check.Service]*scope{}}
	out := &calls{mesh: p.Mesh, changed: map[*check.Workload]bool{}}
	out.own = analyze.WorkloadFacts(p, func(w *check.Workload) *call {
		if !w.UsesDeclared || len(w.Uses) == 0 {
			return nil // one that declared them before is another server now
		}
		if i, ok := p.Mesh.WorkloadIndex(w.Key()); ok {
			out.changed[p.Mesh.Server(i)] = true
		}
		return known.of(w.Uses).call(w)
	})
	return out
}

// scopes are what workloads that share a list of services have in common.
type scopes struct {
	p     *analyze.Pass
	times []*timing // of all services
	known map[**check.Service]*scope
}

type scope struct {
	all    *call            // whoever of the scope calls
	asking []*check.Service // that ask who calls
}

func (sc *scopes) of(uses []*check.Service) *scope {
	s := sc.known[&uses[0]]
	if s == nil {
		s = &scope{}
		sc.known[&uses[0]] = s
		for _, used := range uses {
			t := sc.times[sc.p.ServiceIndex(used)]
			if t.asking {
				s.asking = append(s.asking, used)
			}
			s.all = slower(s.all, t.slowest)
		}
	}
	return s
}

// call is the slowest call of a workload of the scope.
func (s *scope) call(w *check.Workload) *call {
	slowest := s.all
	for _, to := range s.asking {
		slowest = slower(slowest, slowestOf(to, w))
	}
	if slowest == nil {
		return nil
	}
	own := *slowest
	own.workload = w
	return &own
}

// slowestOf is the slowest call of a client to a service.
func slowestOf(s *check.Service, client *check.Workload) *call {
	var out *call
	for _, port := range s.Ports {
		for _, r := range port.Rules {
			if r.TimeoutAt.IsValid() && len(r.MatchesFor(client)) > 0 && (out == nil || r.Timeout > out.timeout) {
				out = &call{rule: r, port: port, timeout: r.Timeout}
			}
		}
	}
	return out
}

func slower(a, b *call) *call {
	if a == nil || b != nil && b.timeout > a.timeout {
		return b
	}
	return a
}

// longest is the slowest call of any workload that the rule leads to.
func (c *calls) longest(r *check.Rule) *call {
	var out *call
	for i := range r.To {
		for _, w := range r.To[i].Backend.Workloads {
			if one := c.of(w); one != nil && one.rule.ID != r.ID && (out == nil || one.timeout > out.timeout) {
				out = one
			}
		}
	}
	return out
}

func edge(p *analyze.Pass, port *check.Port, k int, c *call) {
	r := port.Rules[k]
	d := diag.Diagnostic{
		Severity: diag.Warning,
		Message: fmt.Sprintf("rule %q ends after %s, but %s may wait %s for %s by rule %q",
			r.Name, r.Timeout, c.workload.Key(), c.timeout, c.port.Service.Key(), c.rule.Name),
		Span:    r.TimeoutAt,
		Object:  r.Origin.Object(),
		Related: []diag.Related{{Span: c.rule.TimeoutAt, Message: "timeout of the callee's own call"}},
		Fix:     &diag.Fix{Message: fmt.Sprintf("make this timeout longer than %s, or the callee's shorter", c.timeout)},
	}
	if d.Witness = witness(p, port, k); d.Witness != nil {
		d.Witness.Expect = &diag.WitnessExpect{Route: r.ID, Status: 504, UpstreamDelay: c.timeout.String()}
		d.Witness.Observe = fmt.Sprintf("is answered 504 after %s while %s still waits", r.Timeout, c.workload.Key())
	}
	p.Report(d)
}
