package xds

import (
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
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
	seen := map[mesh.HashKey]bool{}
	for _, d := range r.To {
		key := hashKey(d.Backend)
		if key == nil {
			continue
		}
		plain := *key
		if plain.Cookie != nil { // compare cookies by name, not by address
			plain = mesh.HashKey{Header: "\x00cookie " + key.Cookie.Name}
		}
		if !seen[plain] {
			seen[plain] = true
			out = append(out, hashPolicy(key))
		}
	}
	return out
}

// hashKey is nil unless the backend balances by a hash.
func hashKey(b *check.Backend) *mesh.HashKey {
	switch b.Traffic.LoadBalancing.Policy {
	case "ring-hash", "maglev":
		return b.Traffic.LoadBalancing.Hash
	}
	return nil
}

// stickyPolicy is terminal: the version depends on nothing but the caller's key.
func stickyPolicy(s *mesh.Sticky) *routev3.RouteAction_HashPolicy {
	key := &mesh.HashKey{Header: s.Header}
	if s.Cookie != "" {
		key = &mesh.HashKey{Cookie: &mesh.HashCookie{Name: s.Cookie, Path: "/", TTL: positive(s.TTL)}}
	}
	out := hashPolicy(key)
	out.Terminal = true
	return out
}

func positive(d time.Duration) *time.Duration {
	if d <= 0 {
		return nil
	}
	return &d
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
