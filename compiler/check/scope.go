package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// scope finds the services that workloads may reach.
type scope struct {
	c       *checker
	visible map[string][]*Service // by namespace: the default scope
}

// of returns the services in scope of a workload, by key, and complains in its
// diagnostics about names that do not resolve.
func (sc *scope) of(n *node, l *diag.List) []*Service {
	docs := n.written()
	i := slices.IndexFunc(docs, func(d *mesh.Workload) bool { return d.HasUses })
	if i < 0 {
		return sc.defaults(n.doc.Namespace)
	}
	var out []*Service
	for _, ref := range docs[i].Uses {
		if ref.Host == "" && ref.Name == "" {
			out = append(out, sc.namespace(ref.Namespace, n.doc.Namespace)...)
			continue
		}
		s := sc.c.names.find(ref, docs[i].Namespace)
		if s == nil {
			report(l, docs[i].Origin, diag.Diagnostic{
				Code: UnknownDestination, Severity: diag.Error, Span: ref.Span,
				Message: fmt.Sprintf("workload %s uses %s, which does not exist", n.key, spell(ref, docs[i].Namespace)),
				Fix:     sc.c.suggestService(ref, docs[i].Namespace),
			})
			continue
		}
		if !s.offered(n.doc.Namespace) {
			report(l, docs[i].Origin, diag.Diagnostic{
				Code: MissingGrant, Severity: diag.Error, Span: ref.Span,
				Message: fmt.Sprintf("workload %s uses %s, which is not for namespace %s", n.key, s.key, n.doc.Namespace),
				Related: []diag.Related{{Span: s.origin.Span, Message: "its from says who may use it"}},
			})
			continue
		}
		out = append(out, s.svc)
	}
	slices.SortFunc(out, compareServices)
	return slices.Compact(out)
}

// defaults is the scope without uses: natively the services of the namespace
// and the external ones offered to it, with Istio's defaults all that is
// visible. Workloads of one namespace share the slice.
func (sc *scope) defaults(namespace string) []*Service {
	if list, ok := sc.visible[namespace]; ok {
		return list
	}
	var out []*Service
	for _, s := range sc.c.sites {
		near := s.ns == namespace || s.visible != nil || sc.c.set.Defaults != mesh.Native
		if near && s.offered(namespace) {
			out = append(out, s.svc)
		}
	}
	slices.SortFunc(out, compareServices)
	sc.visible[namespace] = out
	return out
}

// namespace returns the services of a namespace that client namespaces may use.
func (sc *scope) namespace(owner, client string) []*Service {
	var out []*Service
	for _, s := range sc.c.sites {
		if s.ns == owner && s.offered(client) {
			out = append(out, s.svc)
		}
	}
	return out
}

// offered reports whether a namespace may have the service in scope.
func (s *site) offered(namespace string) bool {
	return s.visible == nil || slices.Contains(s.visible, namespace)
}
