package authz

import (
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Keys of conditions, as Istio writes them.
const (
	headerPrefix   = "request.headers["
	keySourceIP    = "source.ip"
	keyRemoteIP    = "remote.ip"
	keyNamespace   = "source.namespace"
	keyPrincipal   = "source.principal"
	keyDestination = "destination.ip"
	keySNI         = "connection.sni"
)

// headerOf returns the header that a key is about.
func headerOf(key string) (string, bool) {
	name, ok := strings.CutPrefix(key, headerPrefix)
	return strings.ToLower(strings.TrimSuffix(name, "]")), ok
}

// conditions returns what `when` says of the caller.
func (b *builder) conditions(when []mesh.Condition) []*rbacv3.Principal {
	var all []*rbacv3.Principal
	for i := range when {
		if f := b.callerKey(when[i].Key); f != nil {
			all = append(all, valuesOf(&when[i], f, orIDs, notID)...)
		}
	}
	return all
}

func (b *builder) callerKey(key string) func(mesh.StringMatch) *rbacv3.Principal {
	switch key {
	case keySourceIP:
		return func(m mesh.StringMatch) *rbacv3.Principal { return b.directIP(m.Value) }
	case keyRemoteIP:
		return func(m mesh.StringMatch) *rbacv3.Principal { return b.remoteIP(m.Value) }
	case keyNamespace:
		return b.namespace
	case keyPrincipal:
		return identity
	}
	return nil
}

// permissionConditions returns what `when` says of the request.
func (b *builder) permissionConditions(when []mesh.Condition) []*rbacv3.Permission {
	var all []*rbacv3.Permission
	for i := range when {
		switch f := b.requestKey(when[i].Key); {
		case f != nil:
			all = append(all, valuesOf(&when[i], f, orRules, notRule)...)
		case b.callerKey(when[i].Key) == nil:
			b.fail("condition %q is not known", when[i].Key)
		}
	}
	return all
}

func (b *builder) requestKey(key string) func(mesh.StringMatch) *rbacv3.Permission {
	if name, ok := headerOf(key); ok {
		return func(m mesh.StringMatch) *rbacv3.Permission {
			return header(mesh.HeaderMatch{Name: name, StringMatch: m})
		}
	}
	switch key {
	case keyDestination:
		return func(m mesh.StringMatch) *rbacv3.Permission {
			return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationIp{DestinationIp: b.cidr(m.Value)}}
		}
	case keySNI:
		return func(m mesh.StringMatch) *rbacv3.Permission {
			return &rbacv3.Permission{Rule: &rbacv3.Permission_RequestedServerName{RequestedServerName: sni(m)}}
		}
	}
	return nil
}

func sni(m mesh.StringMatch) *matcherv3.StringMatcher { return envoymatch.String(m) }

// valuesOf says "any of Values and none of NotValues".
func valuesOf[T any](c *mesh.Condition, f func(mesh.StringMatch) T, or func([]T) T, not func(T) T) []T {
	var all []T
	if len(c.Values) > 0 {
		all = append(all, or(mapped(c.Values, f)))
	}
	if len(c.NotValues) > 0 {
		all = append(all, not(or(mapped(c.NotValues, f))))
	}
	return all
}
