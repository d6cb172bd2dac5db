package check

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// state is what a run leaves to the next one. A result is taken over where its
// inputs, by pointer, and the results that it points to are the same.
type state struct {
	set    settings
	assume bool
	grants []*mesh.Grant
	sites  map[string]*made[Service]
	nodes  map[string]*made[Workload]
	full   map[string]*Workload
	lists  lists // the scopes of all workloads
	// regexes are known problems of expressions, whatever the rest.
	regexes map[string]string
	dumps   *dumps
}

// made is a result with what it was made from.
type made[T any] struct {
	inputs []any
	result *T
	diags  diag.List
}

// reuseFrom accepts an earlier mesh whose mesh-wide inputs were the same.
func (c *checker) reuseFrom(previous *Mesh) {
	c.prev = &state{}
	if previous == nil || previous.state == nil {
		return
	}
	p := previous.state
	c.prev.regexes = p.regexes
	if p.set.equal(&c.set) && p.assume == c.opt.AssumeExternal && slices.Equal(p.grants, c.in.Grants) {
		c.prev = p
	}
}

// plan decides what must be made anew: what has other inputs, and then whatever
// points to it. A service is pointed to by the rules that send requests to its
// backends and by its workloads' inbound ports; a workload by its services.
// Scope, through which nearly everything sees nearly everything, hangs on
// another value of the workload and takes no part.
func (c *checker) plan() {
	for _, s := range c.sites {
		s.resolve(&c.names)
		s.inputs = s.tuple()
		c.diags = append(c.diags, s.diags...)
		s.diags = nil
	}
	for _, n := range c.nodes {
		n.inputs = n.tuple()
		c.diags = append(c.diags, n.diags...)
		n.diags = nil
	}
	c.spread(c.changed())
}

// changed takes over what has the same inputs and returns the rest. Errors are
// found again each time, since their suggestions name other documents.
func (c *checker) changed() (sites []*site, nodes []*node) {
	for _, s := range c.sites {
		old := c.prev.sites[s.key]
		if old == nil || old.diags.HasErrors() || !slices.Equal(old.inputs, s.inputs) {
			sites = append(sites, s)
			continue
		}
		s.svc, s.diags = old.result, old.diags
	}
	for _, n := range c.nodes {
		old := c.prev.nodes[n.key]
		if old == nil || old.diags.HasErrors() || !slices.Equal(old.inputs, n.inputs) {
			nodes = append(nodes, n)
			continue
		}
		n.server, n.diags = old.result, old.diags
	}
	return sites, nodes
}

// spread marks what is changed and all that points to it.
func (c *checker) spread(sites []*site, nodes []*node) {
	dependents := map[*site][]*site{}
	for _, s := range c.sites {
		for _, to := range s.deps {
			dependents[to] = append(dependents[to], s)
		}
	}
	for len(sites)+len(nodes) > 0 {
		var nextSites []*site
		var nextNodes []*node
		for _, s := range sites {
			if !s.dirty {
				s.dirty, s.diags = true, nil
				nextNodes = append(nextNodes, s.nodes...)
				nextSites = append(nextSites, dependents[s]...)
			}
		}
		for _, n := range nodes {
			if !n.dirty {
				n.dirty, n.diags = true, nil
				nextSites = append(nextSites, n.sites...)
			}
		}
		sites, nodes = nextSites, nextNodes
	}
}

// resolve finds the services that the rules in force name.
func (s *site) resolve(n *names) {
	for _, r := range s.routes {
		for _, rule := range r.doc.Rules {
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
	for _, p := range s.policy.docs {
		t = append(t, p)
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
	return t
}
