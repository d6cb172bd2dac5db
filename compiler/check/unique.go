package check

import (
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// object is what tells documents apart, in a cluster as in a repository.
type object struct {
	dialect         mesh.Dialect
	kind            string
	namespace, name string
}

// unique leaves out documents that say again who they are: of two that a cluster
// would take for one object, the last to be applied would win in silence. The
// first by place is used. What is said again in the same way is no finding.
func (c *checker) unique(fragments []*mesh.Fragment) []*mesh.Fragment {
	first := make(map[object]*mesh.Fragment, len(fragments))
	again := false
	for _, f := range fragments {
		o, ok := originOf(f)
		if !ok {
			continue
		}
		have := first[objectOf(o)]
		again = again || have != nil
		if have == nil || before(f, have) {
			first[objectOf(o)] = f
		}
	}
	if !again {
		c.objects = first
		return fragments
	}
	var duplicates []mesh.Origin
	kept := slices.DeleteFunc(slices.Clone(fragments), func(f *mesh.Fragment) bool {
		o, ok := originOf(f)
		have := first[objectOf(o)]
		if !ok || f == have {
			return false
		}
		if !alike(f, have) {
			duplicates = append(duplicates, o)
		}
		return true
	})
	slices.SortFunc(duplicates, func(a, b mesh.Origin) int { return source.Compare(a.Span, b.Span) })
	for _, o := range duplicates {
		used, _ := originOf(first[objectOf(o)])
		c.again(o, used)
	}
	return kept
}

func before(a, b *mesh.Fragment) bool {
	at, _ := originOf(a)
	than, _ := originOf(b)
	return source.Compare(at.Span, than.Span) < 0
}

func objectOf(o mesh.Origin) object { return object{o.Dialect, o.Kind, o.Namespace, o.Name} }

// alike reports whether two documents of one object say the same. Files that are
// applied on their own each declare their namespace and service accounts.
func alike(a, b *mesh.Fragment) bool {
	if len(a.Namespaces) > 0 {
		return maps.Equal(a.Namespaces[0].Labels, b.Namespaces[0].Labels)
	}
	return len(a.ServiceAccounts) > 0
}

func (c *checker) again(o, first mesh.Origin) {
	report(&c.diags, o, diag.Diagnostic{
		Code: DuplicateObject, Severity: diag.Error,
		Message: o.Object() + " is declared twice",
		Related: []diag.Related{{Span: first.Span, Message: "the first, which is used"}},
		Fix:     &diag.Fix{Message: "remove one, or give it another name"},
	})
}

// originOf is the document that a fragment was made of; ok is false where
// nothing came of it.
func originOf(f *mesh.Fragment) (o mesh.Origin, ok bool) {
	switch {
	case len(f.Meshes) > 0: // before the invariants that it may have
		return f.Meshes[0].Origin, true
	case len(f.Namespaces) > 0:
		return f.Namespaces[0].Origin, true
	case len(f.Services) > 0:
		return f.Services[0].Origin, true
	case len(f.Workloads) > 0:
		return f.Workloads[0].Origin, true
	case len(f.ServiceAccounts) > 0:
		return f.ServiceAccounts[0].Origin, true
	case len(f.Gateways) > 0:
		return f.Gateways[0].Origin, true
	case len(f.ListenerSets) > 0:
		return f.ListenerSets[0].Origin, true
	case len(f.GatewayClasses) > 0:
		return f.GatewayClasses[0].Origin, true
	case len(f.Routes) > 0:
		return f.Routes[0].Origin, true
	case len(f.TrafficPolicies) > 0:
		return f.TrafficPolicies[0].Origin, true
	case len(f.BackendTLS) > 0:
		return f.BackendTLS[0].Origin, true
	case len(f.ConfigMaps) > 0:
		return f.ConfigMaps[0].Origin, true
	case len(f.AccessPolicies) > 0:
		return f.AccessPolicies[0].Origin, true
	case len(f.PeerPolicies) > 0:
		return f.PeerPolicies[0].Origin, true
	case len(f.Telemetries) > 0:
		return f.Telemetries[0].Origin, true
	case len(f.RateLimits) > 0:
		return f.RateLimits[0].Origin, true
	case len(f.Externals) > 0:
		return f.Externals[0].Origin, true
	case len(f.Assumptions) > 0:
		return f.Assumptions[0].Origin, true
	}
	return originOfInbound(f)
}

// originOfInbound is for documents of Linkerd about what workloads let in.
func originOfInbound(f *mesh.Fragment) (o mesh.Origin, ok bool) {
	switch {
	case len(f.Servers) > 0:
		return f.Servers[0].Origin, true
	case len(f.Authentications) > 0:
		return f.Authentications[0].Origin, true
	case len(f.Authorizations) > 0:
		return f.Authorizations[0].Origin, true
	case len(f.ServerRoutes) > 0:
		return f.ServerRoutes[0].Origin, true
	}
	return originOfClaim(f)
}

// originOfClaim is for documents that change no traffic.
func originOfClaim(f *mesh.Fragment) (o mesh.Origin, ok bool) {
	switch {
	case len(f.Waivers) > 0:
		return f.Waivers[0].Origin, true
	case len(f.Tests) > 0:
		return f.Tests[0].Origin, true
	case len(f.Invariants) > 0:
		return f.Invariants[0].Origin, true
	case len(f.Grants) > 0:
		return f.Grants[0].Origin, true
	}
	return mesh.Origin{}, false
}
