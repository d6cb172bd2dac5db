package istio

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// sources reads who calls. It may become several alternatives: identities that
// are written with the mesh's own trust domain are accounts or namespaces.
func (t *translator) sources(n *load.Node) []mesh.Source {
	s := mesh.Source{
		Namespaces: t.patterns(n, "namespaces"), NotNamespaces: t.patterns(n, "notNamespaces"),
		ServiceAccounts: t.accounts(n.TextsOf("serviceAccounts")), NotServiceAccounts: t.accounts(n.TextsOf("notServiceAccounts")),
		IPBlocks: t.blocks(n.TextsOf("ipBlocks"), "ipBlocks"), NotIPBlocks: t.blocks(n.TextsOf("notIpBlocks"), "notIpBlocks"),
		RemoteIPBlocks: t.blocks(n.TextsOf("remoteIpBlocks"), "remoteIpBlocks"), NotRemoteIPBlocks: t.blocks(n.TextsOf("notRemoteIpBlocks"), "notRemoteIpBlocks"),
		Span: n.Span,
	}
	for _, account := range []string{"serviceAccounts", "notServiceAccounts"} {
		for _, other := range []string{"principals", "notPrincipals", "namespaces", "notNamespaces"} {
			t.Exclusive(n, other, account, "both say who calls, and Istio refuses them together")
		}
	}
	all := t.withPrincipals([]mesh.Source{s}, n.TextsOf("principals"), "principals")
	return t.withoutPrincipals(all, n.TextsOf("notPrincipals"), "notPrincipals")
}

// accounts reads "namespace/account", or "account" of the policy's namespace.
func (t *translator) accounts(list []*load.Node) []mesh.AccountRef {
	var out []mesh.AccountRef
	for _, v := range list {
		namespace, name, found := strings.Cut(v.Text, "/")
		if !found {
			namespace, name = t.Namespace, v.Text
		}
		if !translate.IsLabel(namespace) || !translate.IsName(name) {
			t.Wrong(v.Span, "service account %q: want namespace/name or name, without wildcards", v.Text)
			continue
		}
		out = append(out, mesh.AccountRef{Namespace: namespace, Name: name, Span: v.Span})
	}
	return out
}

// ownTrustDomain is Istio's name for the mesh's trust domain, whatever that is
// ("cluster.local as a pointer": Istio, trust domain migration).
const ownTrustDomain = "cluster.local/"

// identities are principals by what the model says them with.
type identities struct {
	principals []mesh.StringMatch
	accounts   []mesh.AccountRef
	namespaces []mesh.StringMatch
	meshed     bool
}

// identities reads principals: "domain/ns/namespace/sa/account" with a wildcard
// at one end, to which SPIFFE's scheme is added.
func (t *translator) identities(list []*load.Node, key string) identities {
	var out identities
	for _, v := range list {
		m, ok := t.pattern(v, key)
		switch {
		case !ok:
		case strings.HasPrefix(v.Text, "spiffe://"):
			d := t.Wrong(v.Span, "%s %q: nothing matches this, Istio adds spiffe:// itself", key, v.Text)
			d.SetFix("write " + strings.TrimPrefix(v.Text, "spiffe://"))
		case strings.HasPrefix(v.Text, ownTrustDomain):
			t.own(v, m, key, &out)
		default:
			if m.Kind == mesh.Exact || m.Kind == mesh.Prefix {
				m.Value = "spiffe://" + m.Value
			}
			if parts := strings.Split(v.Text, "/"); m.Kind == mesh.Exact && (len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa") {
				t.Warn(v.Span, "%s %q: no workload of a mesh has this identity, they are DOMAIN/ns/NAMESPACE/sa/ACCOUNT", key, v.Text)
			}
			out.principals = append(out.principals, m)
		}
	}
	return out
}

// own reads a principal of the mesh's own trust domain, whose name only package
// check knows.
func (t *translator) own(v *load.Node, m mesh.StringMatch, key string, out *identities) {
	parts := strings.Split(strings.TrimPrefix(m.Value, ownTrustDomain), "/")
	exact := m.Kind == mesh.Exact
	for len(parts) < 4 {
		parts = append(parts, "")
	}
	known := len(parts) == 4 && (parts[0] == "ns" || parts[0] == "" && !exact) && (parts[2] == "sa" || parts[2] == "" && !exact)
	switch namespace, account := parts[1], parts[3]; {
	case known && exact && translate.IsLabel(namespace) && translate.IsName(account):
		out.accounts = append(out.accounts, mesh.AccountRef{Namespace: namespace, Name: account, Span: v.Span})
	case known && !exact && account == "" && namespace == "":
		out.meshed = true
	case known && !exact && account == "":
		whole := mesh.StringMatch{Value: namespace, Span: v.Span}
		if !strings.HasSuffix(m.Value, "/") { // "ns/team-*"
			whole.Kind = mesh.Prefix
		}
		out.namespaces = append(out.namespaces, whole)
	case !exact:
		d := t.Unsupported(v.Span, "%s %q: this prefix is not supported with the trust domain cluster.local, which stands for the mesh's own", key, v.Text)
		d.SetFix("name the accounts, or write the trust domain's name")
	default:
		t.Wrong(v.Span, "%s %q: nothing matches this, a workload is cluster.local/ns/NAMESPACE/sa/ACCOUNT", key, v.Text)
	}
}

// restriction is one way to demand an identity of a source; used is how much of
// the list that it fills is taken.
type restriction struct {
	used  func(s *mesh.Source) int
	apply func(s *mesh.Source)
}

// restrictions are the alternatives that together mean the identities.
func (ids identities) restrictions() []restriction {
	var out []restriction
	if ids.principals != nil {
		out = append(out, restriction{func(s *mesh.Source) int { return len(s.Principals) }, func(s *mesh.Source) { s.Principals = ids.principals }})
	}
	if ids.accounts != nil {
		out = append(out, restriction{func(s *mesh.Source) int { return len(s.ServiceAccounts) }, func(s *mesh.Source) { s.ServiceAccounts = ids.accounts }})
	}
	if ids.namespaces != nil {
		out = append(out, restriction{func(s *mesh.Source) int { return len(s.Namespaces) }, func(s *mesh.Source) { s.Namespaces = ids.namespaces }})
	}
	if ids.meshed {
		out = append(out, restriction{func(*mesh.Source) int { return 0 }, func(s *mesh.Source) { s.Meshed = true }})
	}
	return out
}

// withPrincipals demands one of the principals from every source, which becomes
// one source for each way in which the model says them.
func (t *translator) withPrincipals(sources []mesh.Source, list []*load.Node, key string) []mesh.Source {
	if len(list) == 0 {
		return sources
	}
	var out []mesh.Source
	for _, r := range t.identities(list, key).restrictions() {
		for _, s := range sources {
			if t.free(r.used(&s), list[0].Span) {
				r.apply(&s)
				out = append(out, s)
			}
		}
	}
	if out == nil { // every value is wrong and reported
		return sources
	}
	return out
}

// free reports whether a list of the source is still unused: the model holds one
// of each, all of which must hold.
func (t *translator) free(used int, at source.Span) bool {
	if used > 0 {
		t.Unsupported(at, "two lists that both restrict who calls are not supported in one rule: write the identities that are in both")
	}
	return used == 0
}

// withoutPrincipals takes the principals away from every alternative.
func (t *translator) withoutPrincipals(sources []mesh.Source, list []*load.Node, key string) []mesh.Source {
	if len(list) == 0 {
		return sources
	}
	ids := t.identities(list, key)
	if ids.meshed {
		t.Unsupported(list[0].Span, "%s of the whole mesh (cluster.local/*) is not supported", key)
	}
	for i := range sources {
		s := &sources[i]
		s.NotPrincipals = append(s.NotPrincipals[:len(s.NotPrincipals):len(s.NotPrincipals)], ids.principals...)
		s.NotServiceAccounts = append(s.NotServiceAccounts[:len(s.NotServiceAccounts):len(s.NotServiceAccounts)], ids.accounts...)
		s.NotNamespaces = append(s.NotNamespaces[:len(s.NotNamespaces):len(s.NotNamespaces)], ids.namespaces...)
	}
	return sources
}
