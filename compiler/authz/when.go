package authz

import (
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

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

// callerConditions are what `when` says of the caller.
func (b *builder) callerConditions(when []mesh.Condition) []*rbacv3.Principal {
	var all []*rbacv3.Principal
	for _, w := range when {
		if f := b.callerKey(w.Key); f != nil {
			yesAndNo(&all, &ids, w.Values, w.NotValues, f)
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

// requestConditions are what `when` says of the request.
func (b *builder) requestConditions(when []mesh.Condition) []*rbacv3.Permission {
	var all []*rbacv3.Permission
	for _, w := range when {
		switch f := b.requestKey(w.Key); {
		case f != nil:
			yesAndNo(&all, &permissions, w.Values, w.NotValues, f)
		case b.callerKey(w.Key) == nil:
			b.fail("condition %q is not known", w.Key)
		}
	}
	return all
}

func (b *builder) requestKey(key string) func(mesh.StringMatch) *rbacv3.Permission {
	if name, ok := headerOf(key); ok {
		return func(m mesh.StringMatch) *rbacv3.Permission {
			return permissions.header(headerIs(mesh.HeaderMatch{Name: name, StringMatch: m}))
		}
	}
	switch key {
	case keyDestination:
		return func(m mesh.StringMatch) *rbacv3.Permission {
			return &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationIp{DestinationIp: b.cidr(m.Value)}}
		}
	case keySNI:
		return func(m mesh.StringMatch) *rbacv3.Permission {
			return &rbacv3.Permission{Rule: &rbacv3.Permission_RequestedServerName{RequestedServerName: envoymatch.String(m)}}
		}
	}
	return nil
}
