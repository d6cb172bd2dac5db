package analyze

import (
	"cmp"
	"iter"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// Clients returns the workloads that have a service in scope, by namespace and
// name, those behind the service itself last. The caller must not change the list.
func (p *Pass) Clients(s *check.Service) []*check.Workload {
	if p.shared.clients == nil {
		p.shared.clients = map[string][]*check.Workload{}
	}
	out, known := p.shared.clients[s.Key()]
	if !known {
		out = p.clients(s)
		p.shared.clients[s.Key()] = out
	}
	return out
}

func (p *Pass) clients(s *check.Service) []*check.Workload {
	var others, own []*check.Workload
	for w := range p.calling(s) {
		if behind(s, w) {
			own = append(own, w)
		} else {
			others = append(others, w)
		}
	}
	slices.SortFunc(others, compareWorkloads)
	slices.SortFunc(own, compareWorkloads)
	return append(others, own...)
}

// client is the first of the clients, nil where there is none.
func (p *Pass) client(s *check.Service) *check.Workload {
	if p.shared.first == nil {
		p.shared.first = map[*check.Service]*check.Workload{}
	}
	out, known := p.shared.first[s]
	if !known {
		out = p.firstClient(s)
		p.shared.first[s] = out
	}
	return out
}

func (p *Pass) firstClient(s *check.Service) *check.Workload {
	var other, own *check.Workload
	for w := range p.calling(s) {
		if other != nil && w.Namespace == other.Namespace {
			continue // those of a namespace come in the order of their names
		}
		first := &other
		if behind(s, w) {
			first = &own
		}
		if *first == nil || compareWorkloads(w, *first) < 0 {
			*first = w
		}
	}
	return cmp.Or(other, own)
}

func behind(s *check.Service, w *check.Workload) bool {
	return slices.ContainsFunc(s.Workloads, func(server *check.Workload) bool { return server.Key() == w.Key() })
}

// calling are the workloads that have a service in scope. Neighbours often share
// the list of what they may call.
func (p *Pass) calling(s *check.Service) iter.Seq[*check.Workload] {
	return func(yield func(*check.Workload) bool) {
		var list **check.Service
		held := false
		for _, w := range p.Mesh.Workloads() {
			if len(w.Uses) == 0 {
				continue
			}
			if list != &w.Uses[0] {
				list, held = &w.Uses[0], holds(w.Uses, s)
			}
			if held && !yield(w) {
				return
			}
		}
	}
}

// holds looks for a service in a list that is ordered by name.
func holds(list []*check.Service, s *check.Service) bool {
	if len(list) <= 32 { // without a look at the services themselves
		return slices.Contains(list, s)
	}
	_, found := slices.BinarySearchFunc(list, s, byName.compare)
	return found
}

func compareWorkloads(a, b *check.Workload) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
