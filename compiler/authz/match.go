package authz

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// authenticated matches a caller whose certificate was verified and names it so:
// Envoy compares URI SANs first.
func authenticated(name *matcherv3.StringMatcher) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{
		Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: name},
	}}
}

// identity compares the SPIFFE id. Nobody is called "", but where no URI matches
// Envoy goes on to the certificate's subject, which may be empty.
func identity(m mesh.StringMatch) *rbacv3.Principal {
	if m.Kind == mesh.Exact && m.Value == "" {
		return ids.not(ids.anything())
	}
	return authenticated(envoymatch.String(m))
}

// identified matches a caller whose identity starts with prefix.
func identified(prefix string) *rbacv3.Principal {
	return identity(mesh.StringMatch{Kind: mesh.Prefix, Value: prefix})
}

// account matches one service account of the mesh's own trust domain.
func (b *builder) account(a mesh.AccountRef) *rbacv3.Principal {
	return identity(mesh.StringMatch{Value: check.SPIFFE(b.settings.TrustDomain, a.Namespace, a.Name)})
}

// namespace matches the identities of a namespace of the mesh's own trust domain.
func (b *builder) namespace(m mesh.StringMatch) *rbacv3.Principal {
	base := "spiffe://" + b.settings.TrustDomain + "/ns/"
	if isExact(m) {
		return identified(base + m.Value + "/")
	}
	segment, err := segmentPattern(m)
	if err != nil {
		b.fail("%w", err)
	}
	return authenticated(&matcherv3.StringMatcher{
		MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: envoymatch.Regex(regexp.QuoteMeta(base) + segment + "/.*")},
	})
}

// segmentPattern matches within one segment of an identity. A regular expression
// of a person's own cannot be held to one segment.
func segmentPattern(m mesh.StringMatch) (string, error) {
	const some = "[^/]*"
	pattern := regexp.QuoteMeta(m.Value)
	switch m.Kind {
	case mesh.Exact:
	case mesh.Prefix:
		pattern += some
	case mesh.Suffix:
		pattern = some + pattern
	case mesh.Contains:
		pattern = some + pattern + some
	case mesh.Present:
		pattern = some
	default:
		return "", fmt.Errorf("a namespace is compared by %s, which it cannot be", m.Kind)
	}
	if m.IgnoreCase {
		pattern = "(?i:" + pattern + ")"
	}
	return pattern, nil
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

func headerIs(h mesh.HeaderMatch) *routev3.HeaderMatcher { return envoymatch.Header(h) }

func methodIs(m mesh.StringMatch) *routev3.HeaderMatcher {
	return headerIs(mesh.HeaderMatch{Name: ":method", StringMatch: m})
}

// pathIs matches the path without its query, as Envoy normalized it.
func pathIs(m mesh.StringMatch) *matcherv3.PathMatcher {
	return &matcherv3.PathMatcher{Rule: &matcherv3.PathMatcher_Path{Path: envoymatch.String(m)}}
}

// hostIs matches the authority without regard to case, with or without a port
// unless one is written (CVE-2021-39155, ISTIO-SECURITY-2021-008). A port may be
// empty: "host:" is the host (RFC 3986, 3.2.3).
func hostIs(m mesh.StringMatch) *routev3.HeaderMatcher {
	m.IgnoreCase = true
	if !exactAuthority(m) {
		m = mesh.StringMatch{Kind: mesh.Regex, Value: "(?:" + envoymatch.Pattern(m) + ")(?::[0-9]*)?"}
	}
	return headerIs(mesh.HeaderMatch{Name: ":authority", StringMatch: m})
}

// exactAuthority reports whether a host is compared with the authority as it
// is: where it names a port, or where what follows it makes no difference.
func exactAuthority(m mesh.StringMatch) bool {
	return strings.Contains(m.Value, ":") || m.Kind == mesh.Prefix || m.Kind == mesh.Present
}
