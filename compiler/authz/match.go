package authz

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func anyID() *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
}

func andIDs(ids []*rbacv3.Principal) *rbacv3.Principal {
	switch len(ids) {
	case 0:
		return anyID()
	case 1:
		return ids[0]
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: ids}}}
}

func orIDs(ids []*rbacv3.Principal) *rbacv3.Principal {
	if len(ids) == 1 {
		return ids[0]
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{OrIds: &rbacv3.Principal_Set{Ids: ids}}}
}

func notID(id *rbacv3.Principal) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_NotId{NotId: id}}
}

func anyRule() *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
}

func andRules(rules []*rbacv3.Permission) *rbacv3.Permission {
	switch len(rules) {
	case 0:
		return anyRule()
	case 1:
		return rules[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: rules}}}
}

func orRules(rules []*rbacv3.Permission) *rbacv3.Permission {
	if len(rules) == 1 {
		return rules[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: rules}}}
}

func notRule(rule *rbacv3.Permission) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: rule}}
}

// authenticated matches a caller whose certificate was verified; with a name,
// whose URI SAN matches it.
func authenticated(name *matcherv3.StringMatcher) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{
		Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: name},
	}}
}

func identity(m mesh.StringMatch) *rbacv3.Principal { return authenticated(envoymatch.String(m)) }

// account matches one service account of the mesh's own trust domain.
func (b *builder) account(a mesh.AccountRef) *rbacv3.Principal {
	return identity(mesh.StringMatch{Value: SPIFFE(b.settings.TrustDomain, a.Namespace, a.Name)})
}

// SPIFFE is the identity of a service account.
func SPIFFE(trustDomain, namespace, account string) string {
	return "spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + account
}

// namespace matches the identities of a namespace of the mesh's own trust domain.
func (b *builder) namespace(m mesh.StringMatch) *rbacv3.Principal {
	base := "spiffe://" + b.settings.TrustDomain + "/ns/"
	switch m.Kind {
	case mesh.Exact:
		return identity(mesh.StringMatch{Kind: mesh.Prefix, Value: base + m.Value + "/"})
	case mesh.Prefix:
		return identity(mesh.StringMatch{Kind: mesh.Prefix, Value: base + m.Value})
	}
	// A namespace is one segment, whatever the pattern says of its characters.
	pattern := regexp.QuoteMeta(base) + "(?:" + strings.ReplaceAll(envoymatch.Pattern(m), "(?s:.*)", "[^/]*") + ")/.*"
	return authenticated(&matcherv3.StringMatcher{
		MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: envoymatch.Regex(pattern)},
	})
}

func (b *builder) cidr(block string) *corev3.CidrRange {
	prefix, err := parseBlock(block)
	if err != nil {
		b.fail("%w", err)
		return &corev3.CidrRange{}
	}
	return &corev3.CidrRange{
		AddressPrefix: prefix.Addr().String(),
		PrefixLen:     wrapperspb.UInt32(uint32(prefix.Bits())),
	}
}

// parseBlock reads a CIDR, or one address.
func parseBlock(block string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(block); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(block)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("IP block %q: %w", block, err)
	}
	return prefix.Masked(), nil
}

func (b *builder) directIP(block string) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_DirectRemoteIp{DirectRemoteIp: b.cidr(block)}}
}

func (b *builder) remoteIP(block string) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_RemoteIp{RemoteIp: b.cidr(block)}}
}

func destinationPort(port uint32) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: port}}
}

func header(h mesh.HeaderMatch) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: envoymatch.Header(h)}}
}

func method(m mesh.StringMatch) *rbacv3.Permission {
	return header(mesh.HeaderMatch{Name: ":method", StringMatch: m})
}

// path matches the path without its query, as Envoy normalized it.
func path(m mesh.StringMatch) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
		Rule: &matcherv3.PathMatcher_Path{Path: envoymatch.String(m)},
	}}}
}

// host matches the authority without regard to case, with or without a port
// unless one is written (CVE-2021-39155, ISTIO-SECURITY-2021-008).
func host(m mesh.StringMatch) *rbacv3.Permission {
	m.IgnoreCase = true
	if exactAuthority(m) {
		return header(mesh.HeaderMatch{Name: ":authority", StringMatch: m})
	}
	withPort := "(?:" + envoymatch.Pattern(m) + ")(?::[0-9]+)?"
	return header(mesh.HeaderMatch{Name: ":authority", StringMatch: mesh.StringMatch{Kind: mesh.Regex, Value: withPort}})
}

// exactAuthority reports whether a host is compared with the authority as it
// is: where it names a port, or where what follows it makes no difference.
func exactAuthority(m mesh.StringMatch) bool {
	return strings.Contains(m.Value, ":") || m.Kind == mesh.Prefix || m.Kind == mesh.Present
}
