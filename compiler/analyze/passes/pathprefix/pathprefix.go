// Package pathprefix finds path prefixes in access rules that end within a
// segment.
package pathprefix

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

//go:embed doc.md
var doc string

// Analyzer finds prefixes such as "/admin*" that also cover "/administrator". It
// is an error where more is allowed than the prefix by segment would, and a
// warning where more is denied.
var Analyzer = &analyze.Analyzer{
	Name:     "pathprefix",
	Severity: diag.Error,
	Catalog:  []string{"AZ-05"},
	Doc:      doc,
	Run:      run,
}

func run(p *analyze.Pass) error {
	p.Inbounds(func(w *check.Workload, in *check.Inbound) {
		if in.Protocol.IsHTTP() {
			inbound(p, w, in)
		}
	})
	return nil
}

func inbound(p *analyze.Pass, w *check.Workload, in *check.Inbound) {
	lists := [][]*mesh.AccessRule{in.Access.Deny, in.Access.Allow}
	for list, rules := range lists {
		for i, r := range rules {
			for _, at := range prefixes(r) {
				changed := withRule(&in.Access, list, i, at.bySegment())
				judge(p, &place{w, in, r, at.match}, changed)
			}
		}
	}
}

// place is a prefix in a rule of a port.
type place struct {
	workload *check.Workload
	inbound  *check.Inbound
	rule     *mesh.AccessRule
	match    mesh.StringMatch
}

// judge compares the rules as they are with the rules where the prefix is one by
// segment. What is in one and not in the other is the finding's witness.
func judge(p *analyze.Pass, at *place, changed *check.Access) {
	sets := reach.Allowed(p.Mesh.Settings(), identities(p, at), &at.inbound.Access, changed)
	d := diag.Diagnostic{
		Span:   at.match.Span,
		Object: object(at.rule),
		Fix:    &diag.Fix{Message: fmt.Sprintf("write %q and %q", at.match.Value, at.match.Value+"/*")},
	}
	if !d.Span.IsValid() {
		d.Span = at.rule.Span
	}
	if verdict, sample := reach.Difference(sets[0], sets[1]); verdict == reach.NonEmpty {
		d.Message = fmt.Sprintf("prefix %q ends within a segment, so that %q is allowed too", at.match.Value, sample.Path)
		d.Witness = witness(p, at, sample, reach.Allow)
	} else if verdict, sample := reach.Difference(sets[1], sets[0]); verdict == reach.NonEmpty {
		d.Severity = diag.Warning
		d.Message = fmt.Sprintf("prefix %q ends within a segment, so that %q is denied too", at.match.Value, sample.Path)
		d.Witness = witness(p, at, sample, reach.Deny)
	} else {
		return
	}
	p.Report(d)
}

// object is the rule's document: ids are "Kind/namespace/name/rule".
func object(r *mesh.AccessRule) string {
	parts := strings.SplitN(r.ID, "/", 4)
	if len(parts) < 3 {
		return ""
	}
	return mesh.Origin{Kind: parts[0], Namespace: parts[1], Name: parts[2]}.Object()
}

// witness is a request of the sample that the evaluator confirms: from the
// sample's own caller, or another that gets the same decision.
func witness(p *analyze.Pass, at *place, sample *reach.Sample, want reach.Decision) *diag.Witness {
	for _, port := range at.inbound.Services {
		for _, from := range callers(p, port, sample) {
			w := analyze.Witness(port, nil, sample)
			w.From = from
			got, err := p.Evaluator().Evaluate(analyze.Request(w))
			if err != nil {
				continue
			}
			for i := range got.Access.Workloads {
				one := &got.Access.Workloads[i]
				if one.Workload.Key() == at.workload.Key() && one.Decision == want {
					return observed(w, at, one)
				}
			}
		}
	}
	return nil
}

func observed(w *diag.Witness, at *place, one *reach.WorkloadAccess) *diag.Witness {
	w.Expect = &diag.WitnessExpect{Access: string(one.Decision), Status: one.Status}
	w.Observe = fmt.Sprintf("is allowed by %s", at.workload.Key())
	if one.Decision == reach.Deny {
		w.Observe = fmt.Sprintf("is denied by %s", at.workload.Key())
	}
	if one.Rule != nil {
		w.Expect.Rule = one.Rule.ID
	}
	return w
}

// callers are the clients with the sample's identity, other clients, the
// identity itself, and nobody.
func callers(p *analyze.Pass, port *check.Port, sample *reach.Sample) []string {
	var same, others []string
	for _, c := range p.Clients(port.Service) {
		if c.Identity == sample.Identity {
			same = append(same, c.Key())
		} else if sample.Identity == "" {
			others = append(others, c.Key())
		}
	}
	out := slices.Concat(same, others)
	if sample.Identity != "" {
		out = append(out, sample.Identity)
	}
	return append(out, reach.NoIdentity)
}

// identities of the clients come first in witnesses.
func identities(p *analyze.Pass, at *place) []string {
	var out []string
	for _, port := range at.inbound.Services {
		for _, c := range p.Clients(port.Service) {
			if !slices.Contains(out, c.Identity) {
				out = append(out, c.Identity)
			}
		}
	}
	return out
}
