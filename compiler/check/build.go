package check

import (
	"cmp"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// build makes what is to be made anew, pointers first.
func (c *checker) build() {
	for _, s := range c.dirtySites {
		s.shell()
		s.checkReserved()
	}
	for _, n := range c.dirtyNodes {
		n.server = c.workload(n)
	}
	for _, s := range c.dirtySites {
		c.backends(s)
	}
	for _, s := range c.dirtySites {
		for _, p := range s.svc.Ports {
			c.table(s, p)
		}
	}
}

// scopes makes the values of workloads that have a scope, or takes them over
// where neither side changed.
func (c *checker) scopes() {
	sc := newScope(c)
	c.full = make([]*Workload, len(c.nodes))
	for i, n := range c.nodes {
		uses, declared := sc.of(n, &c.diags)
		if old := c.prev.node(n.key); old != nil && old.server == n.server {
			if full := c.prev.full[old.place]; full.UsesDeclared == declared && sameList(full.Uses, uses) {
				c.full[i] = full
				continue
			}
		}
		c.full[i] = n.server.using(uses, declared)
	}
}

// using is the workload with its scope.
func (w *Workload) using(uses []*Service, declared bool) *Workload {
	full := *w
	full.Uses, full.UsesDeclared = uses, declared
	return &full
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
	found := c.findings()
	m := &Mesh{
		settings: c.set.Settings, tests: c.in.Tests, invariants: c.in.Invariants, waivers: c.in.Waivers,
		services: c.list(), workloads: c.full,
		state: &state{
			frame: c.frame, opt: c.opt, full: c.full, regexes: c.knownRegexes(), dumps: c.prev.dumps.carry(), amended: c.amended != nil,
		},
	}
	m.state.opt.Previous = nil
	return m, found
}

// list returns the services in their order, each of which knows its position.
func (c *checker) list() []*Service {
	if c.amended != nil {
		out := slices.Clone(c.amended.services)
		for _, s := range c.dirtySites {
			out[s.position] = s.svc
		}
		return out
	}
	sites := slices.SortedFunc(slices.Values(c.names.sites), func(a, b *site) int { return compareServices(a.svc, b.svc) })
	out := make([]*Service, len(sites))
	for i, s := range sites {
		s.position, out[i] = i, s.svc
	}
	return out
}

// findings gathers what was found, and by whom.
func (c *checker) findings() diag.List {
	sites, nodes := c.names.sites, c.nodes
	if c.amended != nil {
		sites, nodes = c.stillLoud()
	}
	found := slices.Concat(c.diags, c.now)
	for _, list := range c.about {
		found = append(found, list...)
	}
	c.loudSites, c.loudNodes = nil, nil
	for _, s := range sites {
		if len(s.declared)+len(s.attached)+len(s.diags) > 0 {
			c.loudSites = append(c.loudSites, s)
			found = append(append(append(found, s.declared...), s.attached...), s.diags...)
		}
	}
	for _, n := range nodes {
		if len(n.attached)+len(n.diags) > 0 {
			c.loudNodes = append(c.loudNodes, n)
			found = append(append(found, n.attached...), n.diags...)
		}
	}
	found.Sort()
	return found
}

// stillLoud are the services and workloads that may have findings.
func (c *checker) stillLoud() (sites []*site, nodes []*node) {
	for _, s := range c.loudSites {
		if c.names.sites[s.place] == s {
			sites = append(sites, s)
		}
	}
	for _, n := range c.loudNodes {
		if c.nodes[n.place] == n {
			nodes = append(nodes, n)
		}
	}
	return append(sites, c.dirtySites...), append(nodes, c.dirtyNodes...)
}
