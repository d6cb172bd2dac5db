package gatewayapi

import (
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// listenerSet reads listeners that are added to a Gateway, which may be of another
// namespace. Its certificates are then of another owner than the files beside the
// gateway's agent: naming one of these would take a host that is not the set's.
func (t *translator) listenerSet(spec *load.Node) {
	set := &mesh.ListenerSet{Origin: t.Origin}
	ref := spec.Get("parentRef")
	if !t.has(ref, "parentRef", "name") {
		return
	}
	complete := true
	for _, n := range spec.ItemsOf("listeners") {
		complete = t.has(n, "a listener", "name", "port", "protocol") && complete
	}
	if !complete {
		return
	}
	groupName, kind := textOr(ref, "group", group), textOr(ref, "kind", "Gateway")
	if groupName != group || kind != "Gateway" {
		d := t.Unsupported(t.At(ref, "kind"), "parent of kind %s (%s) is not supported for a ListenerSet", kind, orCore(groupName))
		d.SetFix("name a Gateway")
		return
	}
	set.Gateway = mesh.GatewayRef{Namespace: textOr(ref, "namespace", t.Namespace), Name: ref.TextOf("name"), Span: t.At(ref, "name")}
	t.servedIn = set.Gateway.Namespace
	set.Listeners = t.listeners(spec)
	for _, l := range set.Listeners {
		l.Set = &set.Origin
	}
	t.out.ListenerSets = []*mesh.ListenerSet{set}
}

// has demands fields that the module's types leave out where they are empty, and that
// the CRD requires.
func (t *translator) has(n *load.Node, what string, keys ...string) bool {
	ok := true
	for _, key := range keys {
		if n.Get(key) == nil {
			t.Wrong(t.At(n, key), "%s has no %s", what, key)
			ok = false
		}
	}
	return ok
}

// allowedListeners reads whose ListenerSets a Gateway takes: none unless written.
func (t *translator) allowedListeners(n *load.Node) *mesh.SetNamespaces {
	selector := n.Get("selector")
	out := &mesh.SetNamespaces{}
	from := t.choice(n, "from", "None", "Same", "All", "Selector")
	switch {
	case from == "None":
		out = nil
	case from == "All":
		out.Any = true
	case from == "Selector" && selector == nil:
		d := t.Wrong(t.At(n, "from"), "from Selector has no selector: no ListenerSet would be taken")
		d.SetFix("write selector with labels of namespaces")
		return nil
	case from == "Selector":
		s := t.selector(selector)
		out.Labels = &s
	}
	if selector != nil && from != "Selector" {
		d := t.Wrong(n.Field("selector").KeySpan, "selector has no effect without from: Selector")
		d.SetFix("write from: Selector")
	}
	return out
}
