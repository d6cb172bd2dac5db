package gatewayapi

import (
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// routeKinds are the kinds whose references need a grant.
var routeKinds = []string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"}

// referenceGrant lets routes of other namespaces send requests to services of its
// own. Each entry of from is a grant of its own, since its kind belongs to its
// namespace.
func (t *translator) referenceGrant(spec *load.Node) {
	to, any := t.granted(spec)
	for _, n := range spec.ItemsOf("from") {
		groupName, kind := n.TextOf("group"), n.TextOf("kind")
		if groupName != group || !slices.Contains(routeKinds, kind) {
			t.Warn(t.At(n, "kind"), "no references of kind %s (%s) are read: the entry grants nothing", kind, orCore(groupName))
			continue
		}
		if !any && len(to) == 0 {
			continue // an empty list would be every service
		}
		t.out.Grants = append(t.out.Grants, &mesh.Grant{Origin: t.Origin, From: []string{n.TextOf("namespace")}, Kinds: []string{kind}, To: to})
	}
}

// granted lists the services; any is set where they are all of the namespace.
func (t *translator) granted(spec *load.Node) (to []mesh.Ref, any bool) {
	for _, n := range spec.ItemsOf("to") {
		groupName, kind := n.TextOf("group"), n.TextOf("kind")
		switch {
		case !core(groupName) || kind != "Service":
			t.Warn(t.At(n, "kind"), "no references to kind %s (%s) are read: the entry grants nothing", kind, orCore(groupName))
		case n.Get("name") == nil:
			any = true
		default:
			to = append(to, mesh.Ref{Name: n.TextOf("name"), Namespace: t.Namespace, Span: t.At(n, "name")})
		}
	}
	if any {
		to = nil
	}
	return to, any
}
