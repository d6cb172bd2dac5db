package timeoutinversion

import (
	"fmt"
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
		seen := map[string]bool{}
		for _, port := range s.Ports {
			for k, r := range port.Rules {
				if r.Timeout == 0 || !r.TimeoutAt.IsValid() || seen[r.ID] {
					continue
				}
				if c := longest(r, calls); c != nil && c.timeout > r.Timeout {
					seen[r.ID] = true
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

// slowest returns, by workload, the call with the longest written timeout.
func slowest(p *analyze.Pass) map[string]*call {
	out := map[string]*call{}
	for _, w := range p.Mesh.Workloads() {
		if !w.UsesDeclared {
			continue
		}
		for _, s := range w.Uses {
			for _, port := range s.Ports {
				for _, r := range port.Rules {
					if !r.TimeoutAt.IsValid() || len(r.MatchesFor(w)) == 0 {
						continue
					}
					if old := out[w.Key()]; old == nil || r.Timeout > old.timeout {
						out[w.Key()] = &call{w, r, port, r.Timeout}
					}
				}
			}
		}
	}
	return out
}

// longest is the slowest call of any workload that the rule leads to.
func longest(r *check.Rule, calls map[string]*call) *call {
	var out *call
	for i := range r.To {
		for _, w := range r.To[i].Backend.Workloads {
			if c := calls[w.Key()]; c != nil && c.rule.ID != r.ID && (out == nil || c.timeout > out.timeout) {
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
