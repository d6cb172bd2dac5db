package check

import (
	"maps"
	"reflect"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// amendment is the documents by which two runs differ.
type amendment struct{ gone, come inputs }

// amend checks what changed since the run before, where that is a few documents
// that attach to services and workloads: routes and policies. Everything that it
// leaves alone is the earlier run's. It reports false where other documents
// changed, or what would follow from these may be seen elsewhere.
func (c *checker) amend(fragments []*mesh.Fragment) bool {
	if c.prev.objects == nil || c.prev.opt.AssumeExternal || c.opt.AssumeExternal || c.prev.opt.ClusterDomain != c.opt.ClusterDomain {
		return false
	}
	gone, come := difference(c.prev.fragments, fragments)
	objects, ok := exchanged(c.prev.objects, gone, come)
	if !ok || !attaching(gone) || !attaching(come) {
		return false
	}
	a := &amendment{*collect(gone), *collect(come)}
	c.frame = c.prev.frame
	c.fragments, c.objects = fragments, objects
	if !c.keepsDefaults(a) || !c.keepsServices(&a.gone) || !c.keepsServices(&a.come) {
		return false
	}
	c.amended = c.opt.Previous
	c.diags, c.about = slices.Clip(c.diags), maps.Clone(c.about)
	sites, nodes := c.affected(c.attachedTo(a))
	c.open(sites, nodes)
	c.exchange(a)
	c.reattach(a)
	c.prepare(c.dirtySites, c.dirtyNodes)
	c.build()
	c.rescope()
	return true
}

// difference returns what is in one list alone.
func difference(old, now []*mesh.Fragment) (gone, come []*mesh.Fragment) {
	for len(old) > 0 && len(now) > 0 && old[0] == now[0] {
		old, now = old[1:], now[1:]
	}
	for len(old) > 0 && len(now) > 0 && old[len(old)-1] == now[len(now)-1] {
		old, now = old[:len(old)-1], now[:len(now)-1]
	}
	left := make(map[*mesh.Fragment]bool, len(old))
	for _, f := range old {
		left[f] = true
	}
	for _, f := range now {
		if !left[f] {
			come = append(come, f)
		}
		delete(left, f)
	}
	for _, f := range old {
		if left[f] {
			gone = append(gone, f)
		}
	}
	return gone, come
}

// exchanged returns the objects after an exchange of documents; ok is false where
// one would be declared twice.
func exchanged(objects map[object]*mesh.Fragment, gone, come []*mesh.Fragment) (_ map[object]*mesh.Fragment, ok bool) {
	left, entered := map[object]bool{}, map[object]*mesh.Fragment{}
	for _, f := range gone {
		if o, ok := originOf(f); ok {
			left[objectOf(o)] = true
		}
	}
	for _, f := range come {
		o, ok := originOf(f)
		if !ok {
			continue
		}
		at := objectOf(o)
		if entered[at] != nil || objects[at] != nil && !left[at] {
			return nil, false
		}
		entered[at] = f
		if left[at] {
			delete(left, at)
			entered[at] = f
		}
	}
	fresh := len(left) > 0
	for at := range entered {
		fresh = fresh || objects[at] == nil
	}
	if !fresh {
		return objects, true
	}
	out := maps.Clone(objects)
	for at := range left {
		delete(out, at)
	}
	maps.Copy(out, entered)
	return out, true
}

// attaching reports whether documents say nothing but what attaches to others.
func attaching(fragments []*mesh.Fragment) bool {
	for _, f := range fragments {
		other := *f
		other.Routes, other.TrafficPolicies, other.AccessPolicies, other.PeerPolicies, other.Expiries = nil, nil, nil, nil, nil
		for _, field := range reflect.ValueOf(other).Fields() {
			if field.Len() > 0 {
				return false
			}
		}
	}
	return true
}

// keepsDefaults reports whether the same document of Istio, if any, chooses the
// mesh's defaults.
func (c *checker) keepsDefaults(a *amendment) bool {
	if c.set.document != nil || a.gone.istio == nil && a.come.istio == nil {
		return true
	}
	first := c.in.istio
	return first != nil && a.gone.istio != first && (a.come.istio == nil || compareOrigins(first, a.come.istio) < 0)
}

// keepsServices reports whether routes make no service, nor a port or version of
// one: those that nobody declares depend on all routes that name them.
func (c *checker) keepsServices(in *inputs) bool {
	declared := func(ref *mesh.Ref, namespace string, unknown bool) bool {
		if ref == nil {
			return true
		}
		s := c.names.find(*ref, namespace)
		return s == nil && unknown || s != nil && !s.virtual && s.assumed == nil
	}
	for _, r := range in.Routes {
		for i := range r.Targets {
			ref := &r.Targets[i].Ref
			if !declared(ref, r.Namespace, r.OffMesh || r.Dialect != mesh.Istio || ref.Host == "") {
				return false
			}
		}
		for _, rule := range slices.Concat(r.Rules, r.Connections) {
			for i := range rule.To {
				if !declared(rule.To[i].Service, r.Namespace, true) {
					return false
				}
			}
			for i := range rule.Mirrors {
				if !declared(rule.Mirrors[i].Service, r.Namespace, true) {
					return false
				}
			}
		}
	}
	return true
}

// attachedTo returns the services and workloads that the documents are about.
func (c *checker) attachedTo(a *amendment) (sites []*site, nodes []*node) {
	see := func(ref mesh.Ref, namespace string) {
		if s := c.names.find(ref, namespace); s != nil {
			sites = append(sites, s)
		}
	}
	said := len(c.diags)
	for _, in := range []*inputs{&a.gone, &a.come} {
		for _, p := range in.TrafficPolicies {
			see(p.Target, p.Namespace)
		}
		for _, r := range in.Routes {
			for i := range r.Targets {
				if !r.OffMesh {
					see(r.Targets[i].Ref, r.Namespace)
				}
			}
		}
		for _, p := range in.PeerPolicies {
			selected, _ := c.targets(p.Origin, &p.Target)
			nodes = append(nodes, selected...)
		}
		for _, p := range in.AccessPolicies {
			selected, _ := c.targets(p.Origin, &p.Target)
			nodes = append(nodes, selected...)
		}
	}
	c.diags = c.diags[:said] // said when the documents are attached
	return sites, nodes
}

// open puts copies in the place of services and workloads, as they were when
// nothing had followed from what is attached to them. What stays points to none
// of those that are replaced.
func (c *checker) open(sites []*site, nodes []*node) {
	c.names.sites, c.nodes = slices.Clone(c.names.sites), slices.Clone(c.nodes)
	for _, s := range sites {
		open := *s
		open.policy, open.versions, open.routes, open.attached = policySet{}, nil, nil, nil
		open.inputs, open.deps, open.svc, open.diags = nil, nil, nil, nil
		c.names.sites[s.place] = &open
		c.dirtySites = append(c.dirtySites, &open)
	}
	for _, n := range nodes {
		open := *n
		open.attached, open.inputs, open.server, open.diags = nil, nil, nil, nil
		c.nodes[n.place] = &open
		c.dirtyNodes = append(c.dirtyNodes, &open)
	}
	for _, s := range c.dirtySites {
		s.nodes = slices.Clone(s.nodes)
		for i, n := range s.nodes {
			s.nodes[i] = c.nodes[n.place]
		}
	}
	for _, n := range c.dirtyNodes {
		n.sites = slices.Clone(n.sites)
		for i, s := range n.sites {
			n.sites[i] = c.names.sites[s.place]
		}
	}
}

// exchange replaces documents in the lists of all, and forgets what was found about
// those that are gone.
func (c *checker) exchange(a *amendment) {
	in := *c.in
	swap(c, &in.Routes, a.gone.Routes, a.come.Routes, func(d *mesh.Route) *mesh.Origin { return &d.Origin })
	swap(c, &in.TrafficPolicies, a.gone.TrafficPolicies, a.come.TrafficPolicies, func(d *mesh.TrafficPolicy) *mesh.Origin { return &d.Origin })
	swap(c, &in.PeerPolicies, a.gone.PeerPolicies, a.come.PeerPolicies, func(d *mesh.PeerPolicy) *mesh.Origin { return &d.Origin })
	swap(c, &in.AccessPolicies, a.gone.AccessPolicies, a.come.AccessPolicies, func(d *mesh.AccessPolicy) *mesh.Origin { return &d.Origin })
	in.Expiries = append(without(in.Expiries, a.gone.Expiries), a.come.Expiries...)
	c.in = &in
	for _, s := range c.dirtySites {
		s.policies = without(s.policies, a.gone.TrafficPolicies)
		s.targeted = slices.DeleteFunc(slices.Clone(s.targeted), func(t target) bool { return slices.Contains(a.gone.Routes, t.doc) })
	}
	for _, n := range c.dirtyNodes {
		n.peers = without(n.peers, a.gone.PeerPolicies)
		n.policies = without(n.policies, a.gone.AccessPolicies)
	}
}

// without is a copy of a list, which may be appended to.
func without[D comparable](list, gone []D) []D {
	return slices.DeleteFunc(slices.Clone(list), func(d D) bool { return slices.Contains(gone, d) })
}

// swap exchanges documents in a list that is ordered by their names.
func swap[D comparable](c *checker, list *[]D, gone, come []D, origin func(D) *mesh.Origin) {
	for _, d := range gone {
		delete(c.about, d)
	}
	for _, d := range gone {
		if i := position(*list, d, origin); i < len(*list) && (*list)[i] == d {
			*list = slices.Concat((*list)[:i], (*list)[i+1:])
		}
	}
	for _, d := range come {
		i := position(*list, d, origin)
		*list = slices.Concat((*list)[:i], []D{d}, (*list)[i:])
	}
}

func position[D any](list []D, d D, origin func(D) *mesh.Origin) int {
	i, _ := slices.BinarySearchFunc(list, d, func(a, b D) int { return compareOrigins(origin(a), origin(b)) })
	return i
}

// reattach attaches the documents that came, and decides anew what all that is
// attached to the open services and workloads says.
func (c *checker) reattach(a *amendment) {
	for _, doc := range a.come.TrafficPolicies {
		c.of(doc, func() { c.policyTarget(doc) })
	}
	c.attachRoutes(a.come.Routes)
	for _, p := range a.come.PeerPolicies {
		c.of(p, func() { c.peerTargets(p) })
	}
	for _, p := range a.come.AccessPolicies {
		c.of(p, func() { c.accessTargets(p); c.callersIn(p) })
	}
	for _, s := range c.dirtySites {
		byOrigin(s.policies, func(d *mesh.TrafficPolicy) *mesh.Origin { return &d.Origin })
		byOrigin(s.targeted, func(t target) *mesh.Origin { return &t.doc.Origin })
		c.policiesOf(s)
	}
	for _, s := range c.dirtySites {
		c.routesOf(s)
	}
	for _, n := range c.dirtyNodes {
		byOrigin(n.peers, func(d *mesh.PeerPolicy) *mesh.Origin { return &d.Origin })
		byOrigin(n.policies, func(d *mesh.AccessPolicy) *mesh.Origin { return &d.Origin })
		n.checkPeers()
	}
}

// rescope exchanges the services that were made anew in the lists of workloads.
func (c *checker) rescope() {
	old := make(map[*Service]*Service, len(c.dirtySites))
	for _, s := range c.dirtySites {
		old[c.prev.names.sites[s.place].svc] = s.svc
	}
	renewed := map[**Service][]*Service{}
	c.full = slices.Clone(c.prev.full)
	var last, now []*Service // neighbours often share a list
	for i, full := range c.full {
		if !sameList(full.Uses, last) {
			last, now = full.Uses, renew(full.Uses, old, renewed)
		}
		if c.nodes[i] != c.prev.nodes[i] || !sameList(now, full.Uses) {
			c.full[i] = c.nodes[i].server.using(now, full.UsesDeclared)
		}
	}
}

// renew is a list with services exchanged, the same one for the same list; the list
// itself where it holds none of them.
func renew(list []*Service, exchange map[*Service]*Service, renewed map[**Service][]*Service) []*Service {
	places := indexes(list, exchange)
	if len(places) == 0 {
		return list
	}
	out := renewed[&list[0]]
	if out == nil {
		out = slices.Clone(list)
		for _, i := range places {
			out[i] = exchange[list[i]]
		}
		renewed[&list[0]] = out
	}
	return out
}

// indexes are the places of services in a list that is ordered by name.
func indexes(list []*Service, wanted map[*Service]*Service) (out []int) {
	if len(wanted) > len(list)/16 { // as many as there are, or few to look through
		for i, s := range list {
			if wanted[s] != nil {
				out = append(out, i)
			}
		}
		return out
	}
	for s := range wanted {
		if i, found := slices.BinarySearchFunc(list, s, compareServices); found && list[i] == s {
			out = append(out, i)
		}
	}
	return out
}
