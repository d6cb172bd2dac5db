// Package invariant decides the Invariant documents.
package invariant

import (
	_ "embed"
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

//go:embed doc.md
var doc string

// Analyzer finds invariants that do not hold, with a request that breaks them,
// and those that could not be proved, which are no promise either.
var Analyzer = &analyze.Analyzer{
	Name:     "invariant",
	Severity: diag.Error,
	Catalog:  []string{"AZ-38"},
	Doc:      doc,
	Run:      run,
}

func run(p *analyze.Pass) error {
	for _, i := range p.Mesh.Invariants() {
		for k := range i.Never {
			clause(p, i, &i.Never[k], true)
		}
		for k := range i.Always {
			clause(p, i, &i.Always[k], false)
		}
	}
	return nil
}

// claim is a rule of an invariant at a port of a workload.
type claim struct {
	invariant *mesh.Invariant
	rule      *mesh.InvariantRule
	never     bool
	port      *check.Port // of the service that the rule is about
	workload  *check.Workload
	inbound   *check.Inbound
}

// judged is what a claim depends on beside settings.
type judged struct {
	rule    *mesh.InvariantRule
	never   bool
	inbound *check.Inbound
}

// clause judges a rule at every port of every workload that it is about.
func clause(p *analyze.Pass, i *mesh.Invariant, r *mesh.InvariantRule, never bool) {
	c := claim{invariant: i, rule: r, never: never}
	services := subjects(p.Mesh, r)
	if len(services) == 0 {
		c.report(p, fmt.Sprintf("%s has no service of this repository: nothing holds it", subject(r)), diag.Diagnostic{})
	}
	for _, s := range services {
		if len(s.Workloads) == 0 {
			c.report(p, fmt.Sprintf("service %s has no workload in the mesh: no proxy holds it", s.Key()),
				diag.Diagnostic{Related: []diag.Related{{Span: s.Origin.Span, Message: "the service"}}})
		}
		for _, w := range s.Workloads {
			c.workload = w
			c.ports(p, s)
		}
	}
}

// ports judges each port of the claim's workload to which the service leads.
func (c claim) ports(p *analyze.Pass, s *check.Service) {
	for _, in := range c.workload.Inbound {
		for _, port := range in.Services {
			if port.Service.Key() != s.Key() {
				continue
			}
			c.inbound, c.port = in, port
			p.Once(judged{c.rule, c.never, in}, func() { c.judge(p) })
			break
		}
	}
}

func (c *claim) judge(p *analyze.Pass) {
	if c.rule.MTLS != mesh.MTLSUnset {
		c.judgeMTLS(p)
		return
	}
	c.judgeAccess(p)
}

func (c *claim) judgeMTLS(p *analyze.Pass) {
	if (c.inbound.MTLS == c.rule.MTLS) != c.never {
		return
	}
	c.report(p, fmt.Sprintf("port %d of workload %s has mTLS mode %s", c.inbound.Port, c.workload.Key(), c.inbound.MTLS), diag.Diagnostic{
		Related: []diag.Related{{Span: c.workload.Origin.Span, Message: "the workload"}},
	})
}

// subjects are the services that a rule is about: one, or all of a namespace.
func subjects(m *check.Mesh, r *mesh.InvariantRule) []*check.Service {
	if r.To.Name != "" {
		if s := m.Service(r.To.Namespace + "/" + r.To.Name); s != nil {
			return []*check.Service{s}
		}
		return nil
	}
	var out []*check.Service
	for _, s := range m.Services() {
		if s.Namespace == r.To.Namespace && s.Meshed {
			out = append(out, s)
		}
	}
	return out
}

func subject(r *mesh.InvariantRule) string {
	if r.To.Name == "" {
		return "namespace " + r.To.Namespace
	}
	return "service " + r.To.String()
}

func (c *claim) report(p *analyze.Pass, fact string, d diag.Diagnostic) {
	d.Message = fmt.Sprintf("invariant %q does not hold: %s", c.rule.Name, fact)
	d.Span, d.Object = c.rule.Span, c.invariant.Object()
	p.Report(d)
}
