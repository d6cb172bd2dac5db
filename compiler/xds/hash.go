package xds

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// hashPolicies are what a route hashes: first what keeps a caller on its version,
// then what its destinations balance by.
func hashPolicies(r *check.Rule) []*routev3.RouteAction_HashPolicy {
	var out []*routev3.RouteAction_HashPolicy
	if r.Sticky != nil {
		out = append(out, stickyPolicy(r.Sticky))
	}
	seen := map[string]bool{}
	for _, d := range r.To {
		for i := range hashKeys(d.Backend) {
			policy := hashPolicy(&hashKeys(d.Backend)[i])
			if id := policy.String(); !seen[id] {
				seen[id] = true
				out = append(out, policy)
			}
		}
	}
	return out
}

// hashKeys are empty unless the backend balances by a hash.
func hashKeys(b *check.Backend) []mesh.HashKey {
	switch b.Traffic.LoadBalancing.Policy {
	case "ring-hash", "maglev":
		return b.Traffic.LoadBalancing.Hash
	}
	return nil
}

// tcpHash is what a TCP proxy hashes: of a connection there is only the address
// that it comes from.
func tcpHash(rule *check.Rule) []*typev3.HashPolicy {
	for _, d := range rule.To {
		if slices.ContainsFunc(hashKeys(d.Backend), func(k mesh.HashKey) bool { return k.SourceIP }) {
			return []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
		}
	}
	return nil
}

// stickyPolicy is terminal: the version depends on nothing but the caller's key.
func stickyPolicy(s *mesh.Sticky) *routev3.RouteAction_HashPolicy {
	out := hashPolicy(&s.Key)
	out.Terminal = true
	return out
}

func hashPolicy(k *mesh.HashKey) *routev3.RouteAction_HashPolicy {
	out := &routev3.RouteAction_HashPolicy{}
	switch {
	case k.Header != "":
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{
			Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: k.Header}}
	case k.Cookie != nil:
		cookie := &routev3.RouteAction_HashPolicy_Cookie{Name: k.Cookie.Name, Path: k.Cookie.Path}
		if k.Cookie.TTL != nil {
			cookie.Ttl = durationpb.New(*k.Cookie.TTL)
		}
		for _, a := range k.Cookie.Attributes {
			cookie.Attributes = append(cookie.Attributes, &routev3.RouteAction_HashPolicy_CookieAttribute{Name: a.Name, Value: a.Value})
		}
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{Cookie: cookie}
	case k.Query != "":
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{
			QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: k.Query}}
	default:
		out.PolicySpecifier = &routev3.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true}}
	}
	return out
}
