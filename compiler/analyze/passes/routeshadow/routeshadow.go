// Package routeshadow finds routing rules that no request reaches.
package routeshadow

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

//go:embed doc.md
var doc string

// Analyzer finds rules that earlier rules of the same route table take all
// requests from, one alone or several together.
var Analyzer = &analyze.Analyzer{
	Name:     "routeshadow",
	Severity: diag.Error,
	Catalog:  []string{"TL-01", "TL-03"},
	Doc:      doc,
	Run:      run,
}

func run(p *analyze.Pass) error {
	p.Services(func(s *check.Service) bool {
		ports(p, s.Ports)
		return !asksWhoCalls(s) // else it depends on the clients, too
	})
	p.Gateways(func(tables []*check.Port) { ports(p, tables) })
	return nil
}

func asksWhoCalls(s *check.Service) bool {
	for _, port := range s.Ports {
		if analyze.AsksWhoCalls(port) {
			return true
		}
	}
	return false
}

// shadow is what was found about a rule of one table.
type shadow struct {
	rule   *check.Rule
	port   *check.Port
	client *check.Workload
	reach  reach.Reach
}

// ports reports a rule where it is unreachable at every port and for every class of
// clients that it exists for.
func ports(p *analyze.Pass, all []*check.Port) {
	var order []string
	shadows := map[string]*shadow{}
	for _, port := range all {
		if !port.Protocol.IsHTTP() || len(port.Rules) < 2 {
			continue
		}
		for _, class := range p.Classes(port) {
			for _, found := range table(p, port, class.Client) {
				id := found.rule.ID
				if _, seen := shadows[id]; !seen {
					order = append(order, id)
					shadows[id] = found
				}
				if found.reach.Verdict != reach.Empty {
					shadows[id] = nil
				}
			}
		}
	}
	for _, id := range order {
		if shadows[id] != nil {
			report(p, shadows[id])
		}
	}
}

// table judges the rules of one route table that people wrote.
func table(p *analyze.Pass, port *check.Port, client *check.Workload) []*shadow {
	out := make([]*shadow, 0, len(port.Rules))
	t := reach.NewTable(p.Mesh.Settings(), reach.Rules{Client: client, Rules: port.Rules})
	for k, r := range port.Rules {
		if !r.Default && len(r.MatchesFor(client)) > 0 {
			out = append(out, &shadow{rule: r, port: port, client: client, reach: t.Reachable(k)})
		}
	}
	return out
}

func report(p *analyze.Pass, s *shadow) {
	d := diag.Diagnostic{
		Message: fmt.Sprintf("rule %q is never reached: %s", s.rule.Name, s.cause()),
		Span:    s.rule.Span,
		Object:  s.rule.Origin.Object(),
		Fix:     &diag.Fix{Message: s.advice()},
	}
	for _, i := range s.reach.Covering {
		earlier := s.port.Rules[i]
		d.Related = append(d.Related, diag.Related{Span: earlier.Span, Message: fmt.Sprintf("earlier rule %q", earlier.Name)})
	}
	if s.reach.Sample != nil && s.reach.Taker >= 0 {
		taker := s.port.Rules[s.reach.Taker]
		d.Witness = analyze.Witness(s.port, s.client, s.reach.Sample)
		d.Witness.Observe = fmt.Sprintf("goes to rule %q, not to %q", taker.Name, s.rule.Name)
		d.Witness.Expect = &diag.WitnessExpect{Route: taker.ID}
	}
	p.Report(d)
}

func (s *shadow) covering() []string {
	names := make([]string, len(s.reach.Covering))
	for i, k := range s.reach.Covering {
		names[i] = fmt.Sprintf("%q", s.port.Rules[k].Name)
		if o := s.port.Rules[k].Origin; o.Object() != s.rule.Origin.Object() {
			names[i] += " of " + o.Object()
		}
	}
	return names
}

func (s *shadow) cause() string {
	switch names := s.covering(); len(names) {
	case 0:
		return "no request matches it, because paths are normalized before they are compared; so there is none to show"
	case 1:
		return fmt.Sprintf("rule %s matches first", names[0])
	default:
		return fmt.Sprintf("rules %s together match first", strings.Join(names, ", "))
	}
}

func (s *shadow) advice() string {
	if len(s.reach.Covering) == 0 {
		return "write the path as it is after normalization: no \"//\", \"/./\", \"/../\" or escaped letters"
	}
	first := s.port.Rules[s.reach.Covering[0]]
	if s.rule.Origin.Dialect == mesh.GatewayAPI {
		return fmt.Sprintf("remove %q, or make its matches more specific: the order of rules does not count where matches differ", s.rule.Name)
	}
	return fmt.Sprintf("move %q above %q, or remove it", s.rule.Name, first.Name)
}
