package invariant

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

// judgeAccess looks for a request of the callers that the rule speaks of whose
// decision is the one that must not be.
func (c *claim) judgeAccess(p *analyze.Pass) {
	sets := reach.Allowed(p.Mesh.Settings(), identities(p, c.port), &c.inbound.Access, c.callers(), connecting(c.inbound.MTLS))
	forbidden := reach.Decision(c.rule.Access)
	if !c.never {
		forbidden = opposite(forbidden)
	}
	let := sets[0].Intersect(sets[2])
	broken := sets[1].Intersect(let)
	if forbidden == reach.Deny {
		broken = sets[1].Subtract(let)
	}
	switch verdict, sample := broken.Witness(); verdict {
	case reach.NonEmpty:
		c.broken(p, sample, forbidden)
	case reach.Unproven:
		c.report(p, fmt.Sprintf("whether workload %s ever decides %s at port %d could not be proved", c.workload.Key(), forbidden, c.inbound.Port), diag.Diagnostic{
			Fix: &diag.Fix{Message: "write the access rules without regular expressions, or fewer of them"},
		})
	}
}

func opposite(d reach.Decision) reach.Decision {
	if d == reach.Allow {
		return reach.Deny
	}
	return reach.Allow
}

// callers are access settings that allow exactly those whom the rule speaks of.
// A caller without identity is never excepted, as in an access rule.
func (c *claim) callers() *check.Access {
	return &check.Access{Allow: []*mesh.AccessRule{{
		ID: "callers", Action: mesh.Allow, From: c.rule.From, ExceptFrom: c.rule.ExceptFrom,
	}}}
}

// connecting are access settings that allow exactly those who get through the
// handshake: strict demands an identity of the mesh, disable carries none.
func connecting(mode mesh.MTLSMode) *check.Access {
	anybody := []mesh.Source{{Principals: []mesh.StringMatch{{Kind: mesh.Present}}}}
	switch mode {
	case mesh.MTLSStrict:
		return &check.Access{Allow: []*mesh.AccessRule{{ID: "handshake", Action: mesh.Allow, From: []mesh.Source{{Meshed: true}}}}}
	case mesh.MTLSDisable:
		return &check.Access{DefaultAllow: true, Deny: []*mesh.AccessRule{{ID: "handshake", Action: mesh.Deny, From: anybody}}}
	}
	return &check.Access{DefaultAllow: true}
}

// broken reports a request with the forbidden decision. The evaluator must agree
// before it is shown.
func (c *claim) broken(p *analyze.Pass, sample *reach.Sample, forbidden reach.Decision) {
	d := diag.Diagnostic{Related: []diag.Related{{Span: c.workload.Origin.Span, Message: "the workload"}}}
	for _, port := range c.inbound.Services {
		for _, from := range c.from(p, port, sample) {
			w := analyze.Witness(port, nil, sample)
			w.From = from
			if one := c.decision(p, w); one != nil && one.Decision == forbidden {
				c.report(p, c.fact(forbidden, one.Reason), c.shown(d, w, one))
				return
			}
		}
	}
	c.report(p, c.fact(forbidden, ""), d)
}

func (c *claim) fact(forbidden reach.Decision, reason string) string {
	verb := "allows"
	if forbidden == reach.Deny {
		verb = "denies"
	}
	fact := fmt.Sprintf("workload %s %s a request that it speaks of at port %d", c.workload.Key(), verb, c.inbound.Port)
	if reason != "" {
		fact += " (" + reason + ")"
	}
	return fact
}

// decision is what the claim's workload answers to a witness, nil where the
// request does not get there.
func (c *claim) decision(p *analyze.Pass, w *diag.Witness) *reach.WorkloadAccess {
	got, err := p.Evaluator().Evaluate(analyze.Request(w))
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(got.Access.Workloads, func(a reach.WorkloadAccess) bool { return a.Workload.Key() == c.workload.Key() })
	if i < 0 {
		return nil
	}
	return &got.Access.Workloads[i]
}

func (c *claim) shown(d diag.Diagnostic, w *diag.Witness, one *reach.WorkloadAccess) diag.Diagnostic {
	w.Expect = &diag.WitnessExpect{Access: string(one.Decision)}
	if c.inbound.Protocol.IsHTTP() { // elsewhere a denial closes the connection
		w.Expect.Status = one.Status
	}
	w.Observe = fmt.Sprintf("is allowed by %s", c.workload.Key())
	if one.Decision == reach.Deny {
		w.Observe = fmt.Sprintf("is denied by %s", c.workload.Key())
	}
	if one.Rule != nil {
		w.Expect.Rule = one.Rule.ID
		d.Related = append(d.Related, diag.Related{Span: one.Rule.Span, Message: "the rule that decides"})
	} else if one.Span.IsValid() {
		d.Related = append(d.Related, diag.Related{Span: one.Span, Message: "what decides"})
	}
	d.Witness = w
	return d
}

// from are callers as the sample has them: workloads of its identity, or any
// where it asks for none; the identity itself; nobody.
func (c *claim) from(p *analyze.Pass, port *check.Port, sample *reach.Sample) []string {
	var out []string
	for _, w := range p.Clients(port.Service) {
		if w.Identity == sample.Identity || sample.Identity == "" && !sample.Anonymous {
			out = append(out, w.Key())
		}
	}
	if sample.Identity != "" {
		return append(out, sample.Identity)
	}
	return append(out, reach.NoIdentity)
}

// identities of the clients come first in witnesses.
func identities(p *analyze.Pass, port *check.Port) []string {
	var out []string
	for _, w := range p.Clients(port.Service) {
		if !slices.Contains(out, w.Identity) {
			out = append(out, w.Identity)
		}
	}
	return out
}
