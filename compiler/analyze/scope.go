package analyze

import (
	"cmp"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// Scope is workloads, by key, that share the list of services they may call.
type Scope struct {
	Uses      []*check.Service // by key
	Workloads []*check.Workload
}

// Scopes returns the scopes that are not empty. There are far fewer than
// workloads where everyone may call everyone.
func (p *Pass) Scopes() []*Scope {
	if p.shared.scopes != nil {
		return p.shared.scopes
	}
	type list struct {
		first **check.Service
		n     int
	}
	byList := map[list]*Scope{}
	for _, w := range p.Mesh.Workloads() {
		if len(w.Uses) == 0 {
			continue
		}
		at := list{&w.Uses[0], len(w.Uses)}
		if byList[at] == nil {
			byList[at] = &Scope{Uses: w.Uses}
			p.shared.scopes = append(p.shared.scopes, byList[at])
		}
		byList[at].Workloads = append(byList[at].Workloads, w)
	}
	return p.shared.scopes
}

// Clients returns the workloads that have a service in scope, by key, those
// behind the service itself last. The caller must not change the list.
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
	behind := map[string]bool{}
	for _, server := range s.Workloads {
		behind[server.Key()] = true
	}
	var others, own []*check.Workload
	for _, scope := range p.Scopes() {
		if !scope.has(s) {
			continue
		}
		for _, w := range scope.Workloads {
			if behind[w.Key()] {
				own = append(own, w)
			} else {
				others = append(others, w)
			}
		}
	}
	slices.SortFunc(others, compareWorkloads)
	slices.SortFunc(own, compareWorkloads)
	return append(others, own...)
}

func compareWorkloads(a, b *check.Workload) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func (s *Scope) has(service *check.Service) bool {
	_, found := slices.BinarySearchFunc(s.Uses, service, func(a, b *check.Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return found
}
