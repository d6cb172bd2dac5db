package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// scope finds the services that workloads may reach. Equal lists are the same
// slice, also from one run to the next.
type scope struct {
	c       *checker
	visible map[string][]*Service    // by namespace: the default scope
	offers  map[[2]string][]*Service // what one namespace offers to another
	lists   lists
	old     lists // of the run before
}

// lists are all lists of services in use.
type lists map[ends][][]*Service

// ends tell most lists apart without looking at all of them.
type ends struct {
	first, last *Service
	n           int
}

func newScope(c *checker) *scope {
	sc := &scope{c: c, visible: map[string][]*Service{}, offers: map[[2]string][]*Service{}, lists: lists{}, old: lists{}}
	for _, w := range c.prev.full {
		sc.old.add(w.Uses)
	}
	return sc
}

// add enters a list, unless it is there already.
func (l lists) add(list []*Service) {
	if len(list) == 0 {
		return
	}
	at := ends{list[0], list[len(list)-1], len(list)}
	if !slices.ContainsFunc(l[at], func(known []*Service) bool { return sameList(known, list) }) {
		l[at] = append(l[at], list)
	}
}

// shared returns the slice that stands for all lists of the same services.
func (sc *scope) shared(list []*Service) []*Service {
	if len(list) == 0 {
		return nil
	}
	at := ends{list[0], list[len(list)-1], len(list)}
	for _, known := range sc.lists[at] {
		if slices.Equal(known, list) {
			return known
		}
	}
	for _, known := range sc.old[at] {
		if slices.Equal(known, list) {
			list = known
		}
	}
	sc.lists[at] = append(sc.lists[at], list)
	return list
}

// of returns the services in scope of a workload, by key, and whether they are
// written. It complains in l about names that do not resolve.
func (sc *scope) of(n *node, l *diag.List) (uses []*Service, declared bool) {
	docs := n.written()
	i := slices.IndexFunc(docs, func(d *mesh.Workload) bool { return d.HasUses })
	if i < 0 {
		return sc.defaults(n.doc.Namespace), false
	}
	return sc.written(docs[i], n, l), true
}

// written resolves the list of a document.
func (sc *scope) written(doc *mesh.Workload, n *node, l *diag.List) []*Service {
	var out []*Service
	for _, ref := range doc.Uses {
		if ref.Host == "" && ref.Name == "" {
			all := sc.namespace(ref.Namespace, n.doc.Namespace)
			if len(doc.Uses) == 1 {
				return all
			}
			out = append(out, all...)
			continue
		}
		s := sc.c.names.find(ref, doc.Namespace)
		if s == nil {
			report(l, doc.Origin, diag.Diagnostic{
				Code: UnknownDestination, Severity: diag.Error, Span: ref.Span,
				Message: fmt.Sprintf("workload %s uses %s, which does not exist", n.key, spell(ref, doc.Namespace)),
				Fix:     sc.c.suggestService(ref, doc.Namespace),
			})
			continue
		}
		if !s.offered(n.doc.Namespace) {
			report(l, doc.Origin, diag.Diagnostic{
				Code: MissingGrant, Severity: diag.Error, Span: ref.Span,
				Message: fmt.Sprintf("workload %s uses %s, which is not for namespace %s", n.key, s.key, n.doc.Namespace),
				Related: []diag.Related{{Span: s.origin.Span, Message: "its from says who may use it"}},
			})
			continue
		}
		out = append(out, s.svc)
	}
	slices.SortFunc(out, compareServices)
	return sc.shared(slices.Compact(out))
}

// defaults is the scope without uses: natively the services of the namespace
// and the external ones offered to it, with Istio's defaults all that is
// visible. Workloads of one namespace share the slice.
func (sc *scope) defaults(namespace string) []*Service {
	if list, ok := sc.visible[namespace]; ok {
		return list
	}
	var out []*Service
	for _, s := range sc.c.names.sites {
		near := s.ns == namespace || s.visible != nil || sc.c.set.Defaults != mesh.Native
		if near && s.offered(namespace) {
			out = append(out, s.svc)
		}
	}
	slices.SortFunc(out, compareServices)
	out = sc.shared(out)
	sc.visible[namespace] = out
	return out
}

// namespace returns the services of a namespace that client namespaces may use.
func (sc *scope) namespace(owner, client string) []*Service {
	if out, ok := sc.offers[[2]string{owner, client}]; ok {
		return out
	}
	var out []*Service
	for _, s := range sc.c.names.sites {
		if s.ns == owner && s.offered(client) {
			out = append(out, s.svc)
		}
	}
	slices.SortFunc(out, compareServices)
	out = sc.shared(out)
	sc.offers[[2]string{owner, client}] = out
	return out
}

// offered reports whether a namespace may have the service in scope.
func (s *site) offered(namespace string) bool {
	return s.visible == nil || slices.Contains(s.visible, namespace)
}
