package linkerd

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (t *translator) meshTLSAuthentication(spec *load.Node) {
	t.exactlyOne(spec, "the MeshTLSAuthentication", "identities", "identityRefs")
	var ids identities
	for _, v := range spec.TextsOf("identities") {
		t.identity(v, "identities", &ids)
	}
	for _, n := range items(spec, "identityRefs") {
		t.identityRef(n, &ids)
	}
	t.authentication(ids.sources(spec.Span), spec)
}

// authentication of nobody is refused: Linkerd ignores the document then.
func (t *translator) authentication(from []mesh.Source, spec *load.Node) {
	if len(from) == 0 {
		if !t.Diags.HasErrors() {
			t.Wrong(spec.Span, "the %s names nobody: Linkerd ignores it", t.Kind)
		}
		return
	}
	t.out.Authentications = []*mesh.Authentication{{Origin: t.Origin, From: from}}
}

// identityRef reads a service account, or a namespace for all of its accounts.
func (t *translator) identityRef(n *load.Node, ids *identities) {
	name, namespace := n.TextOf("name"), n.TextOf("namespace")
	group, kind := n.TextOf("group"), n.TextOf("kind")
	switch {
	case (group == "" || group == "core") && strings.EqualFold(kind, "ServiceAccount") && name != "":
		if namespace == "" {
			namespace = t.Namespace
		}
		t.account(n, namespace, name, ids)
	case (group == "" || group == "core") && strings.EqualFold(kind, "ServiceAccount"): // every account of the namespace
		if namespace == "" {
			namespace = t.Namespace
		}
		ids.namespaces = append(ids.namespaces, mesh.StringMatch{Value: namespace, Span: n.Span})
	case (group == "" || group == "core") && strings.EqualFold(kind, "Namespace") && translate.IsLabel(name):
		ids.namespaces = append(ids.namespaces, mesh.StringMatch{Value: name, Span: t.At(n, "name")})
	default:
		t.Wrong(n.Span, "identityRefs names %s %q: want a ServiceAccount, or a Namespace by its name", kind, name)
	}
}

func (t *translator) account(n *load.Node, namespace, name string, ids *identities) {
	if !translate.IsLabel(namespace) || !translate.IsName(name) {
		t.Wrong(n.Span, "service account %q of namespace %q: want lower-case letters, digits and -", name, namespace)
		return
	}
	ids.accounts = append(ids.accounts, mesh.AccountRef{Namespace: namespace, Name: name, Span: n.Span})
}

func (t *translator) networkAuthentication(spec *load.Node) {
	nets := t.networks(spec)
	t.authentication(nets.sources(spec), spec)
}

// networks are address blocks, each without its exceptions.
type networks []mesh.Source

// networks reads blocks. Both blocks that hold all addresses are no restriction.
func (t *translator) networks(n *load.Node) networks {
	var out networks
	for _, item := range items(n, "networks") {
		v := item.Get("cidr")
		if v == nil || v.Kind != load.String {
			continue
		}
		block, ok := t.block(v, "cidr")
		if !ok {
			continue
		}
		s := mesh.Source{IPBlocks: []string{block}, Span: item.Span}
		for _, e := range item.TextsOf("except") {
			if except, ok := t.block(e, "except"); ok {
				s.NotIPBlocks = append(s.NotIPBlocks, except)
			}
		}
		out = append(out, s)
	}
	return out
}

// sources merges the blocks without exceptions; all addresses are anyone.
func (nets networks) sources(n *load.Node) []mesh.Source {
	plain := mesh.Source{Span: n.Span}
	var out []mesh.Source
	all := map[string]bool{}
	for _, s := range nets {
		if len(s.NotIPBlocks) > 0 {
			out = append(out, s)
			continue
		}
		plain.IPBlocks = append(plain.IPBlocks, s.IPBlocks...)
		all[s.IPBlocks[0]] = true
	}
	switch {
	case all["0.0.0.0/0"] && all["::/0"]:
		return []mesh.Source{{Span: n.Span}}
	case len(plain.IPBlocks) > 0:
		return append([]mesh.Source{plain}, out...)
	}
	return out
}

// identities are clients by what the model says them with.
type identities struct {
	accounts   []mesh.AccountRef
	namespaces []mesh.StringMatch
	principals []mesh.StringMatch
	meshed     bool
}

// anyIdentity matches whoever's certificate was verified.
var anyIdentity = mesh.StringMatch{Kind: mesh.Prefix, Value: "spiffe://"}

// ownTrustDomain is Linkerd's default (identityTrustDomain), which stands for the
// mesh's own, whatever that is called.
const ownTrustDomain = "cluster.local"

// identity reads a name of Linkerd's certificates,
// ACCOUNT.NAMESPACE.serviceaccount.identity.CONTROL-PLANE.TRUST-DOMAIN, "*." and the
// end of such names, "*" for every client with an identity, or a SPIFFE id.
func (t *translator) identity(v *load.Node, key string, out *identities) {
	switch {
	case v.Text == "*":
		match := anyIdentity
		match.Span = v.Span
		out.principals = append(out.principals, match)
	case strings.HasPrefix(v.Text, "spiffe://"):
		t.spiffe(v, key, out)
	case translate.Placeholder(v.Text):
	default:
		rest, suffix := strings.CutPrefix(v.Text, "*.")
		if !translate.IsName(rest) {
			t.Wrong(v.Span, "%s %q is no identity: want ACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.cluster.local, *.NAMESPACE.serviceaccount..., or *", key, v.Text)
			return
		}
		t.dnsIdentity(v, key, rest, suffix, out)
	}
}

func (t *translator) spiffe(v *load.Node, key string, out *identities) {
	domain, path, found := strings.Cut(strings.TrimPrefix(v.Text, "spiffe://"), "/")
	if !found || path == "" || !translate.IsName(domain) || strings.ContainsAny(v.Text, "*?#% ") {
		t.Wrong(v.Span, "%s %q is no SPIFFE id: want spiffe://TRUST-DOMAIN/PATH", key, v.Text)
		return
	}
	out.principals = append(out.principals, mesh.StringMatch{Value: v.Text, Span: v.Span})
}

const accountMark = "serviceaccount.identity."

// dnsIdentity reads what stands before and after the mark.
func (t *translator) dnsIdentity(v *load.Node, key, name string, suffix bool, out *identities) {
	who, where, found := strings.Cut("."+name, "."+accountMark)
	who = strings.TrimPrefix(who, ".")
	_, domain, domained := strings.Cut(where, ".") // after the control plane's namespace
	switch {
	case suffix && !found && endsOwn(name):
		out.meshed = true
	case !found || !domained:
		d := t.Unsupported(v.Span, "%s %q: this identity is not supported, there is no service account in it", key, v.Text)
		d.SetFix("write ACCOUNT.NAMESPACE." + accountMark + "linkerd." + ownTrustDomain + ", or *.NAMESPACE. and the rest for all of a namespace")
	case suffix && who == "":
		t.everyone(v, domain, out)
	case suffix && translate.IsLabel(who):
		t.wholeNamespace(v, domain, who, out)
	case suffix:
		d := t.Unsupported(v.Span, "%s %q: the end of a service account's name is not supported", key, v.Text)
		d.SetFix("name the service accounts")
	default:
		t.oneAccount(v, key, domain, who, out)
	}
}

// endsOwn reports an end that all identities of the mesh's own trust domain have.
func endsOwn(name string) bool {
	rest, own := strings.CutSuffix("."+name, "."+ownTrustDomain)
	return own && (strings.Count(rest, ".") <= 1 || strings.HasPrefix(rest, ".identity.") && strings.Count(rest, ".") == 2)
}

func (t *translator) everyone(v *load.Node, domain string, out *identities) {
	if domain == ownTrustDomain {
		out.meshed = true
		return
	}
	out.principals = append(out.principals, mesh.StringMatch{Kind: mesh.Prefix, Value: "spiffe://" + domain + "/", Span: v.Span})
}

func (t *translator) wholeNamespace(v *load.Node, domain, namespace string, out *identities) {
	if domain == ownTrustDomain {
		out.namespaces = append(out.namespaces, mesh.StringMatch{Value: namespace, Span: v.Span})
		return
	}
	out.principals = append(out.principals, mesh.StringMatch{Kind: mesh.Prefix, Value: "spiffe://" + domain + "/ns/" + namespace + "/sa/", Span: v.Span})
}

func (t *translator) oneAccount(v *load.Node, key, domain, who string, out *identities) {
	i := strings.LastIndexByte(who, '.')
	if i < 0 {
		t.Wrong(v.Span, "%s %q has no namespace: want ACCOUNT.NAMESPACE."+accountMark+"...", key, v.Text)
		return
	}
	account, namespace := who[:i], who[i+1:]
	if domain == ownTrustDomain {
		out.accounts = append(out.accounts, mesh.AccountRef{Namespace: namespace, Name: account, Span: v.Span})
		return
	}
	out.principals = append(out.principals, mesh.StringMatch{Value: "spiffe://" + domain + "/ns/" + namespace + "/sa/" + account, Span: v.Span})
}

// sources are the alternatives that together mean the identities.
func (ids *identities) sources(at source.Span) []mesh.Source {
	var out []mesh.Source
	if ids.accounts != nil {
		out = append(out, mesh.Source{ServiceAccounts: ids.accounts, Span: at})
	}
	if ids.namespaces != nil {
		out = append(out, mesh.Source{Namespaces: ids.namespaces, Span: at})
	}
	if ids.principals != nil {
		out = append(out, mesh.Source{Principals: ids.principals, Span: at})
	}
	if ids.meshed {
		out = append(out, mesh.Source{Meshed: true, Span: at})
	}
	return out
}
