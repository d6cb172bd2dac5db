package policytest

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Coverage says which rules the cases met. Rules that nobody wrote, such as the
// service's own route, are not counted.
type Coverage struct {
	Rules   []CoveredRule `json:"rules"` // by place
	Total   int           `json:"total"`
	Covered int           `json:"covered"`
	Percent float64       `json:"percent"` // 100 where there is no rule
}

// CoveredRule is a rule that decided in so many cases; of one that is said for
// several ports or workloads, any.
type CoveredRule struct {
	Kind   string `json:"kind"` // "route" or "access"
	Rule   string `json:"rule"` // "MeshRoute/shop/catalog/canary"
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Cases  int    `json:"cases"`
}

// Kinds of rules.
const (
	routeRule  = "route"
	accessRule = "access"
)

// place tells a rule in all that it applies to: one place may be several rules'.
type place struct {
	kind, rule string
	at         source.Span
}

// Cover counts the rules of a mesh that decided in the results of its tests. dir is
// put before file names.
func Cover(m *check.Mesh, results []Result, dir string) *Coverage {
	met := map[place]int{}
	for _, w := range written(m) {
		met[w] = 0
	}
	for i := range results {
		if r := results[i].Result; r != nil {
			for p := range deciders(r) {
				if _, ok := met[p]; ok {
					met[p]++
				}
			}
		}
	}
	out := &Coverage{Total: len(met), Percent: 100}
	for p, n := range met {
		at := p.at.Below(dir)
		out.Rules = append(out.Rules, CoveredRule{p.kind, p.rule, at.File, at.Start.Line, at.Start.Column, n})
		if n > 0 {
			out.Covered++
		}
	}
	slices.SortFunc(out.Rules, func(a, b CoveredRule) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Rule, b.Rule))
	})
	if out.Total > 0 {
		out.Percent = 100 * float64(out.Covered) / float64(out.Total)
	}
	return out
}

// written lists the rules of services, gateways and workloads, some several times.
func written(m *check.Mesh) []place {
	var out []place
	routes := func(rules []*check.Rule) {
		for _, r := range rules {
			if !r.Default && r.Span.IsValid() {
				out = append(out, placeOfRoute(r))
			}
		}
	}
	for _, s := range m.Services() {
		for _, p := range s.Ports {
			routes(p.Rules)
		}
	}
	for _, w := range m.Workloads() {
		for _, p := range w.Gateway {
			for _, l := range p.Listeners {
				for _, r := range l.Routes {
					routes(r.Rules)
				}
			}
		}
		for _, in := range w.Inbound {
			a := &in.Access
			for _, r := range slices.Concat(a.Deny, a.Allow, a.Audit, a.Custom) {
				if r.Span.IsValid() {
					out = append(out, placeOfAccess(r))
				}
			}
		}
	}
	return out
}

func placeOfRoute(r *check.Rule) place {
	return place{routeRule, r.Origin.ID() + "/" + r.Name, r.Span}
}

func placeOfAccess(r *mesh.AccessRule) place { return place{accessRule, r.ID, r.Span} }

// deciders are the rules that decided about a request, or log it, each once.
func deciders(r *reach.Result) map[place]bool {
	out := map[place]bool{}
	if r.Route.Rule != nil {
		out[placeOfRoute(r.Route.Rule)] = true
	}
	access := func(a *reach.Access) {
		if a.Rule != nil {
			out[placeOfAccess(a.Rule)] = true
		}
		for _, audit := range a.Audit {
			out[placeOfAccess(audit)] = true
		}
	}
	access(&r.Access)
	for i := range r.Access.Workloads {
		access(&r.Access.Workloads[i].Access)
	}
	return out
}

// Text writes the coverage as a table.
func (c *Coverage) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CASES\tRULE\tPLACE")
	for _, r := range c.Rules {
		fmt.Fprintf(t, "%d\t%s\t%s:%d:%d\n", r.Cases, r.Rule, r.File, r.Line, r.Column)
	}
	fmt.Fprintf(t, "%d of %d rules are covered (%.1f %%)\n", c.Covered, c.Total, c.Percent)
	return t.Flush()
}
