package check

import (
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
// first by place is used.
func (c *checker) unique(fragments []*mesh.Fragment) []*mesh.Fragment {
	first := make(map[object]mesh.Origin, len(fragments))
	again := false
	for _, f := range fragments {
		o, ok := originOf(f)
		if !ok {
			continue
		}
		key := object{o.Dialect, o.Kind, o.Namespace, o.Name}
		have, taken := first[key]
		again = again || taken
		if !taken || source.Compare(o.Span, have.Span) < 0 {
			first[key] = o
		}
	}
	if !again {
		return fragments
	}
	var duplicates []mesh.Origin
	kept := slices.DeleteFunc(slices.Clone(fragments), func(f *mesh.Fragment) bool {
		o, ok := originOf(f)
		if !ok || o.Span == first[object{o.Dialect, o.Kind, o.Namespace, o.Name}].Span {
			return false
		}
		duplicates = append(duplicates, o)
		return true
	})
	slices.SortFunc(duplicates, func(a, b mesh.Origin) int { return source.Compare(a.Span, b.Span) })
	for _, o := range duplicates {
		c.again(o, first[object{o.Dialect, o.Kind, o.Namespace, o.Name}])
	}
	return kept
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
	case len(f.Routes) > 0:
		return f.Routes[0].Origin, true
	case len(f.TrafficPolicies) > 0:
		return f.TrafficPolicies[0].Origin, true
	case len(f.AccessPolicies) > 0:
		return f.AccessPolicies[0].Origin, true
	case len(f.PeerPolicies) > 0:
		return f.PeerPolicies[0].Origin, true
	case len(f.Externals) > 0:
		return f.Externals[0].Origin, true
	case len(f.Assumptions) > 0:
		return f.Assumptions[0].Origin, true
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
