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
	calls := slowest(p)
	if len(calls) == 0 {
		return
	}
	for _, s := range p.Mesh.Services() {
		if t := analyze.Fact(p, s, timingOf); t.tightest == 0 || calls.behind(t.to) <= t.tightest {
			continue
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
	}
}

// call is the slowest call that a workload may make.
type call struct {
	workload *check.Workload
	rule     *check.Rule
	port     *check.Port
	timeout  time.Duration
}

// calls are the slowest calls by workload. Workloads are compared by name.
type calls map[workloadName]*call

type workloadName struct{ namespace, name string }

func nameOf(w *check.Workload) workloadName { return workloadName{w.Namespace, w.Name} }

// behind is the longest timeout of a call by the workloads of some services.
func (calls calls) behind(services []*check.Service) (longest time.Duration) {
	for _, s := range services {
		for _, w := range s.Workloads {
			if c := calls[nameOf(w)]; c != nil {
				longest = max(longest, c.timeout)
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

// slowest returns, by workload, the call with the longest written timeout.
func slowest(p *analyze.Pass) calls {
	out := calls{}
	for _, scope := range p.Scopes() {
		var all *call // whoever of the scope calls
		var asking []*check.Service
		for _, s := range scope.Uses {
			t := analyze.Fact(p, s, timingOf)
			if t.asking {
				asking = append(asking, s)
			}
			all = slower(all, t.slowest)
		}
		for _, w := range scope.Workloads {
			if w.UsesDeclared {
				out.add(w, all, asking)
			}
		}
	}
	return out
}

func (calls calls) add(w *check.Workload, slowest *call, asking []*check.Service) {
	for _, s := range asking {
		slowest = slower(slowest, slowestOf(s, w))
	}
	if slowest != nil {
		own := *slowest
		own.workload = w
		calls[nameOf(w)] = &own
	}
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
func (calls calls) longest(r *check.Rule) *call {
	var out *call
	for i := range r.To {
		for _, w := range r.To[i].Backend.Workloads {
			if c := calls[nameOf(w)]; c != nil && c.rule.ID != r.ID && (out == nil || c.timeout > out.timeout) {
				out = c
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
