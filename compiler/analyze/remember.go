package analyze

import (
	"cmp"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// column is what one analyzer learned of the values of a list, one by one.
type column[T, F any] struct {
	list  []*T
	facts []F
	kept  []bool
}

// order of a list, and what makes two of its values the same for learn.
type order[T any] struct {
	compare func(a, b *T) int
	same    func(a, b *T) bool
}

var (
	byName = order[check.Service]{
		func(a, b *check.Service) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		},
		func(a, b *check.Service) bool { return a == b },
	}
	byKey = order[check.Workload]{
		func(a, b *check.Workload) int { return cmp.Compare(a.Key(), b.Key()) },
		func(a, b *check.Workload) bool { return a == b },
	}
	byGateway = order[check.Workload]{byKey.compare, func(a, b *check.Workload) bool {
		return len(a.Gateway) == len(b.Gateway) && (len(a.Gateway) == 0 || a.Gateway[0] == b.Gateway[0])
	}}
	byInbound = order[check.Workload]{byKey.compare, func(a, b *check.Workload) bool {
		return len(a.Inbound) == len(b.Inbound) && (len(a.Inbound) == 0 || a.Inbound[0] == b.Inbound[0])
	}}
)

// remember returns what learn says of each value of a list, in order. Of a value
// that the run before had it asks only where the answer of that time was not to be
// kept; one that did not change costs a comparison.
func remember[T, F any](p *Pass, topic string, list []*T, by order[T], learn func(*T) (fact F, keep bool)) []F {
	now := &column[T, F]{list, make([]F, len(list)), make([]bool, len(list))}
	old, _ := p.prev.columns[topic].(*column[T, F])
	if old == nil {
		old = &column[T, F]{}
	}
	at := 0
	for i, v := range list {
		for at < len(old.list) && !by.same(old.list[at], v) && by.compare(old.list[at], v) < 0 {
			at++
		}
		if at < len(old.list) && old.kept[at] && by.same(old.list[at], v) {
			now.facts[i], now.kept[i] = old.facts[at], true
			continue
		}
		now.facts[i], now.kept[i] = learn(v)
	}
	p.next.columns[topic] = now
	return now.facts
}

// Services calls look for each service, unless the run before found nothing in the
// very same value: look depends on it alone, and on settings, or returns false.
func (p *Pass) Services(look func(*check.Service) (alone bool)) {
	remember(p, "services", p.Mesh.Services(), byName, func(s *check.Service) (struct{}, bool) {
		before := len(p.found)
		alone := look(s)
		return struct{}{}, alone && len(p.found) == before
	})
}

// ServicesBut is the same, where look depends on something else of a service that
// touched says has changed.
func (p *Pass) ServicesBut(topic string, touched func(i int) bool, look func(*check.Service)) {
	services := p.Mesh.Services()
	by := order[check.Service]{byName.compare, func(a, b *check.Service) bool { return a == b }}
	at := 0
	by.same = func(a, b *check.Service) bool {
		if a != b {
			return false
		}
		for services[at] != b {
			at++
		}
		return !touched(at)
	}
	remember(p, topic, services, by, func(s *check.Service) (struct{}, bool) {
		before := len(p.found)
		look(s)
		return struct{}{}, len(p.found) == before
	})
}

// ServiceFacts returns what learn says of each service, in order, which depends on
// it alone, and on settings.
func ServiceFacts[F any](p *Pass, learn func(*check.Service) F) []F {
	return remember(p, "service facts", p.Mesh.Services(), byName, func(s *check.Service) (F, bool) { return learn(s), true })
}

// ServiceIndex is the place of a service of the mesh in the list of all.
func (p *Pass) ServiceIndex(s *check.Service) int {
	i, _ := slices.BinarySearchFunc(p.Mesh.Services(), s, byName.compare)
	return i
}

// WorkloadFacts is the same for workloads, with their scopes.
func WorkloadFacts[F any](p *Pass, learn func(*check.Workload) F) []F {
	return remember(p, "workload facts", p.Mesh.Workloads(), byKey, func(w *check.Workload) (F, bool) { return learn(w), true })
}

// Gateways calls look for the route tables of each workload that serves gateways,
// unless the run before found nothing in the very same: look depends on them alone,
// and on settings.
func (p *Pass) Gateways(look func(tables []*check.Port)) {
	remember(p, "gateways", p.Mesh.Workloads(), byGateway, func(w *check.Workload) (struct{}, bool) {
		before := len(p.found)
		if tables := p.tables(w); len(tables) > 0 {
			look(tables)
		}
		return struct{}{}, len(p.found) == before
	})
}

// tables are those of a workload that serves gateways, each once.
func (p *Pass) tables(w *check.Workload) []*check.Port {
	var out []*check.Port
	for _, port := range w.Gateway {
		for _, l := range port.Listeners {
			for _, r := range l.Routes {
				out = append(out, r.Table())
				if p.gateways == nil {
					p.gateways = map[*check.Port]*check.Workload{}
				}
				p.gateways[r.Table()] = w
			}
		}
	}
	return out
}

// Inbounds calls look for each port on which a workload listens, unless the run
// before found nothing in the very same: look depends on the ports of the workload
// alone, and on settings.
func (p *Pass) Inbounds(look func(*check.Workload, *check.Inbound)) {
	remember(p, "inbounds", p.Mesh.Workloads(), byInbound, func(w *check.Workload) (struct{}, bool) {
		before := len(p.found)
		for _, in := range w.Inbound {
			look(w, in)
		}
		return struct{}{}, len(p.found) == before
	})
}
