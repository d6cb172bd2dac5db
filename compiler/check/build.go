package check

import (
	"cmp"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// build makes what plan found to be changed, pointers first.
func (c *checker) build() {
	for _, s := range c.sites {
		if s.dirty {
			s.shell()
			s.checkReserved()
		}
	}
	for _, n := range c.nodes {
		if n.dirty {
			n.server = c.workload(n)
		}
	}
	for _, s := range c.sites {
		if s.dirty {
			c.backends(s)
		}
	}
	for _, s := range c.sites {
		if !s.dirty {
			continue
		}
		for _, p := range s.svc.Ports {
			c.table(s, p)
		}
	}
	c.scopes()
	c.offMeshRoutes()
}

// scopes makes the values of workloads that have a scope, or takes them over
// where neither side changed.
func (c *checker) scopes() {
	sc := newScope(c)
	c.lists = sc.lists
	for _, n := range c.nodes {
		uses, declared := sc.of(n, &c.diags)
		old := c.prev.full[n.key]
		if old != nil && c.prev.nodes[n.key].result == n.server && old.UsesDeclared == declared && sameList(old.Uses, uses) {
			n.full = old
			continue
		}
		full := *n.server
		full.Uses, full.UsesDeclared = uses, declared
		n.full = &full
	}
}

// sameList reports one slice; equal lists are.
func sameList(a, b []*Service) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func compareServices(a, b *Service) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// finish puts the mesh together.
func (c *checker) finish() (*Mesh, diag.List) {
	m := &Mesh{
		settings: c.set.Settings, tests: c.in.Tests, invariants: c.in.Invariants, waivers: c.in.Waivers,
		byService: make(map[string]*Service, len(c.sites)), byWorkload: make(map[string]*Workload, len(c.nodes)),
		state: &state{
			set: c.set, assume: c.opt.AssumeExternal, grants: c.in.Grants,
			sites: make(map[string]*made[Service], len(c.sites)),
			nodes: make(map[string]*made[Workload], len(c.nodes)),
			full:  make(map[string]*Workload, len(c.nodes)),

			lists:   c.lists,
			regexes: c.regexes,
		},
	}
	for _, s := range c.sites {
		m.services = append(m.services, s.svc)
		m.byService[s.key] = s.svc
		m.state.sites[s.key] = &made[Service]{s.inputs, s.svc, s.diags}
		c.diags = append(c.diags, s.diags...)
	}
	for _, n := range c.nodes {
		m.workloads = append(m.workloads, n.full)
		m.byWorkload[n.key] = n.full
		m.state.nodes[n.key] = &made[Workload]{n.inputs, n.server, n.diags}
		m.state.full[n.key] = n.full
		c.diags = append(c.diags, n.diags...)
	}
	slices.SortFunc(m.services, compareServices)
	m.state.dumps = c.prev.dumps.carry()
	c.diags.Sort()
	return m, c.diags
}
