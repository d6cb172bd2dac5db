package check

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// state is what a run leaves to the next one. A result is taken over where its
// inputs, by pointer, and the results that it points to are the same.
type state struct {
	frame
	opt  Options
	full []*Workload // of nodes
	// regexes are known problems of expressions, whatever the rest.
	regexes map[string]string
	dumps   *dumps
	amended bool // the run before
}

// reuse accepts the results of an earlier run whose mesh-wide inputs were the same.
func (c *checker) reuse() {
	p := c.prev
	if p.in == nil || !p.set.equal(&c.set) || p.opt.AssumeExternal != c.opt.AssumeExternal || !slices.Equal(p.in.Grants, c.in.Grants) {
		c.prev = &state{regexes: p.regexes}
	}
}

// plan decides what must be made anew: what has other inputs, and then whatever
// points to it. A service is pointed to by the rules that send requests to its
// backends and by its workloads' inbound ports; a workload by its services.
// Scope, through which nearly everything sees nearly everything, hangs on
// another value of the workload and takes no part.
func (c *checker) plan() {
	c.prepare(c.names.sites, c.nodes)
	c.dirtySites, c.dirtyNodes = c.affected(c.changed())
	for _, s := range c.dirtySites {
		s.diags = nil
	}
	for _, n := range c.dirtyNodes {
		n.diags = nil
	}
}

// prepare lists the inputs of services and workloads.
func (c *checker) prepare(sites []*site, nodes []*node) {
	for _, s := range sites {
		s.resolve(&c.names)
		s.inputs = s.tuple()
		s.attached, s.diags = s.diags, nil
	}
	for _, n := range nodes {
		n.inputs = n.tuple()
		n.attached, n.diags = n.diags, nil
	}
}

// changed takes over what has the same inputs and returns the rest. Errors are
// found again each time, since their suggestions name other documents.
func (c *checker) changed() (sites []*site, nodes []*node) {
	for _, s := range c.names.sites {
		old := c.prev.names.key(s.key)
		if old == nil || old.diags.HasErrors() || !slices.Equal(old.inputs, s.inputs) {
			sites = append(sites, s)
			continue
		}
		s.svc, s.diags = old.svc, old.diags
	}
	for _, n := range c.nodes {
		old := c.prev.node(n.key)
		if old == nil || old.diags.HasErrors() || !slices.Equal(old.inputs, n.inputs) {
			nodes = append(nodes, n)
			continue
		}
		n.server, n.diags = old.server, old.diags
	}
	return sites, nodes
}

// affected returns what is changed and all that points to it.
func (f *frame) affected(sites []*site, nodes []*node) (allSites []*site, allNodes []*node) {
	dependents := make([][]*site, len(f.names.sites))
	for _, s := range f.names.sites {
		for _, to := range s.deps {
			dependents[to.place] = append(dependents[to.place], s)
		}
	}
	seenSites, seenNodes := map[*site]bool{}, map[*node]bool{}
	for len(sites)+len(nodes) > 0 {
		var nextSites []*site
		var nextNodes []*node
		for _, s := range sites {
			if !seenSites[s] {
				seenSites[s], allSites = true, append(allSites, s)
				nextNodes = append(nextNodes, s.nodes...)
				nextSites = append(nextSites, dependents[s.place]...)
			}
		}
		for _, n := range nodes {
			if !seenNodes[n] {
				seenNodes[n], allNodes = true, append(allNodes, n)
				nextSites = append(nextSites, n.sites...)
			}
		}
		sites, nodes = nextSites, nextNodes
	}
	return allSites, allNodes
}

// resolve finds the services that the rules in force name.
func (s *site) resolve(n *names) {
	for _, r := range s.routes {
		for _, rule := range slices.Concat(r.doc.Rules, r.doc.Connections) {
			for i := range rule.To {
				r.answer(n, rule.To[i].Service)
			}
			for i := range rule.Mirrors {
				r.answer(n, rule.Mirrors[i].Service)
			}
		}
		for _, to := range r.answers {
			if to != nil && to != s && !slices.Contains(s.deps, to) {
				s.deps = append(s.deps, to)
			}
		}
	}
}

func (r *routing) answer(n *names, ref *mesh.Ref) {
	if ref != nil {
		r.answers = append(r.answers, n.service(*ref, r.doc.Namespace))
	}
}

// tuple is everything that the service is made from, comparable by ==. What the
// documents' pointers do not cover is there by value.
func (s *site) tuple() []any {
	t := []any{s.doc, s.origin, strings.Join(s.hosts, " ")}
	if s.assumed != nil || s.virtual {
		for i := range s.ports {
			t = append(t, s.ports[i])
		}
		for _, v := range s.versions {
			t = append(t, v.name)
		}
	}
	for _, n := range s.nodes {
		t = append(t, n.doc)
	}
	for _, port := range s.opaque {
		t = append(t, port)
	}
	for _, p := range s.policy.docs {
		t = append(t, p)
	}
	for _, o := range s.callers {
		t = append(t, o.doc)
		for _, root := range o.roots {
			t = append(t, root)
		}
	}
	for _, r := range s.routes {
		t = append(t, r.doc)
		for _, to := range r.answers {
			if to == nil {
				t = append(t, "")
			} else {
				t = append(t, to.key)
			}
		}
	}
	return t
}

// tuple is everything that the workload's server side is made from.
func (n *node) tuple() []any {
	t := []any{n.doc}
	for _, o := range n.overlays {
		t = append(t, o)
	}
	for _, s := range n.sites {
		t = append(t, s.key)
	}
	for _, p := range n.peers {
		t = append(t, p)
	}
	for _, p := range n.policies {
		t = append(t, p)
	}
	for _, g := range n.gateways {
		t = append(t, g)
	}
	if n.inherits.inbound != (mesh.WrittenDefault{}) {
		t = append(t, n.inherits.inbound)
	}
	for _, s := range n.servers {
		t = append(t, s.inputs...)
	}
	return t
}
