package linkerd

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// routeKinds are those by which a part of a Server's requests is named.
var routeKinds = map[string][]string{
	"HTTPRoute": {policyGroup, "gateway.networking.k8s.io"},
	"GRPCRoute": {"gateway.networking.k8s.io"},
}

func (t *translator) authorizationPolicy(spec *load.Node) {
	a := &mesh.Authorization{Origin: t.Origin, TargetAt: t.At(spec, "targetRef")}
	ok := t.authorizationTarget(spec.Get("targetRef"), a)
	refs := items(spec, "requiredAuthenticationRefs")
	if v := spec.Get("requiredAuthenticationRefs"); v != nil && v.Kind == load.List && len(v.Items) == 0 {
		d := t.Warn(v.Span, "requiredAuthenticationRefs is empty: everyone may call, with or without an identity")
		d.SetFix("name a MeshTLSAuthentication, or a NetworkAuthentication of 0.0.0.0/0 and ::/0 to say so")
	}
	// Linkerd's controller refuses a second one of a sort (authorization_policy.rs,
	// "policy must not include multiple").
	first := map[string]*load.Node{}
	for _, n := range refs {
		ref, sort := t.authenticationRef(n)
		switch {
		case sort == "":
			ok = false
		case first[sort] != nil:
			d := t.Wrong(n.Span, "a second %s is required: Linkerd ignores the whole policy then", sort)
			d.Related = []diag.Related{{Span: first[sort].Span, Message: "the first"}}
			ok = false
		default:
			first[sort] = n
			a.Requires = append(a.Requires, ref)
		}
	}
	if ok && len(a.Requires) == len(refs) {
		t.out.Authorizations = []*mesh.Authorization{a}
	}
}

// authorizationTarget reads what is authorized: a Server, a route of one, or every
// Server of the policy's own namespace.
func (t *translator) authorizationTarget(n *load.Node, a *mesh.Authorization) bool {
	group, kind, name := n.TextOf("group"), n.TextOf("kind"), n.TextOf("name")
	if n == nil || name == "" {
		return false
	}
	switch {
	case group == policyGroup && strings.EqualFold(kind, "Server"):
		a.Server = name
		return true
	case (group == "" || group == "core") && strings.EqualFold(kind, "Namespace"):
		a.EveryServer = true
		if name != t.Namespace {
			t.Wrong(t.At(n, "name"), "namespace %s is not the policy's own, %s: it has no effect there", name, t.Namespace)
			return false
		}
		return true
	}
	for route, groups := range routeKinds {
		if !strings.EqualFold(kind, route) {
			continue
		}
		for _, g := range groups {
			if g == group {
				a.Route = &mesh.ObjectName{Group: g, Kind: route, Name: name, Span: n.Span}
				return true
			}
		}
	}
	d := t.Wrong(n.Span, "targetRef %s of group %q: want a Server (policy.linkerd.io), an HTTPRoute, a GRPCRoute, or a Namespace", kind, group)
	d.SetFix("write group: policy.linkerd.io, kind: Server")
	return false
}

// authenticationRef reads one requirement and of which sort it is: a client is
// known by its identity and by its address.
func (t *translator) authenticationRef(n *load.Node) (ref mesh.AuthenticationRef, sort string) {
	group, kind := n.TextOf("group"), n.TextOf("kind")
	ref = mesh.AuthenticationRef{Namespace: n.TextOf("namespace"), Name: n.TextOf("name"), Span: n.Span}
	if ref.Namespace == "" {
		ref.Namespace = t.Namespace
	}
	switch {
	case group == policyGroup && strings.EqualFold(kind, "MeshTLSAuthentication"):
		ref.Kind, sort = "MeshTLSAuthentication", "set of identities"
	case group == policyGroup && strings.EqualFold(kind, "NetworkAuthentication"):
		ref.Kind, sort = "NetworkAuthentication", "set of networks"
	case (group == "" || group == "core") && strings.EqualFold(kind, "ServiceAccount"):
		ref.Kind, sort = "ServiceAccount", "set of identities"
		if !translate.IsLabel(ref.Namespace) || !translate.IsName(ref.Name) {
			t.Wrong(n.Span, "service account %q of namespace %q: want lower-case letters, digits and -", ref.Name, ref.Namespace)
			return ref, ""
		}
	default:
		d := t.Wrong(n.Span, "requiredAuthenticationRefs names %s of group %q: want a MeshTLSAuthentication or NetworkAuthentication (policy.linkerd.io), or a ServiceAccount", kind, group)
		d.SetFix("write group: policy.linkerd.io, kind: MeshTLSAuthentication")
	}
	if ref.Name == "" {
		return ref, ""
	}
	return ref, sort
}

func (t *translator) serverAuthorization(spec *load.Node) {
	a := &mesh.Authorization{Origin: t.Origin, TargetAt: t.At(spec, "server")}
	server, client := spec.Get("server"), spec.Get("client")
	if server == nil || client == nil || server.Kind != load.Map || client.Kind != load.Map {
		return // the shape has reported it
	}
	switch t.exactlyOne(server, "server", "name", "selector") {
	case "name":
		a.Server = server.TextOf("name")
	case "selector":
		s := t.selector(server.Get("selector"))
		a.Servers = &s
	}
	if t.client(client, a) {
		t.out.Authorizations = []*mesh.Authorization{a}
	}
}

// client reads who is authorized: callers with identities, from networks.
func (t *translator) client(n *load.Node, a *mesh.Authorization) bool {
	open := n.IsTrue("unauthenticated")
	mtls := n.Get("meshTLS")
	switch {
	case open && mtls != nil:
		d := t.Wrong(n.Field("meshTLS").KeySpan, "meshTLS stands beside unauthenticated: true, which makes it meaningless: client has one of the two")
		d.Related = []diag.Related{{Span: n.Field("unauthenticated").KeySpan, Message: "unauthenticated"}}
	case !open && mtls == nil:
		d := t.Wrong(n.Span, "client says neither meshTLS nor unauthenticated: true: it authorizes nobody")
		d.SetFix("write meshTLS: {identities: [\"*\"]} for every client with an identity")
		return false
	}
	var from []mesh.Source
	if open {
		from = []mesh.Source{{Span: n.Span}}
	} else {
		from = t.meshTLS(mtls)
	}
	nets := t.networks(n)
	if len(nets) == 0 {
		// "If unset, the server chooses a default (typically, all IPs or the cluster's
		// pod network)" (Linkerd, ServerAuthorization). Who has no identity is
		// known by the network alone.
		a.Cluster = open
		a.From = from
		return len(from) > 0
	}
	a.From = mesh.InNetworks(from, nets.sources(n))
	return len(a.From) > 0
}

func (t *translator) meshTLS(n *load.Node) []mesh.Source {
	var ids identities
	for _, v := range n.TextsOf("identities") {
		t.identity(v, "identities", &ids)
	}
	for _, item := range items(n, "serviceAccounts") {
		namespace := item.TextOf("namespace")
		if namespace == "" {
			namespace = t.Namespace
		}
		if item.TextOf("name") != "" {
			t.account(item, namespace, item.TextOf("name"), &ids)
		}
	}
	from := ids.sources(n.Span)
	if len(from) == 0 && n.Kind == load.Map && !n.IsTrue("unauthenticatedTLS") && !t.Diags.HasErrors() {
		t.Wrong(n.Span, "meshTLS names nobody: write identities or serviceAccounts")
	}
	return from
}
