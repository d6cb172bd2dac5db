package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// version is a part of a service's workloads.
type version struct {
	name    string
	policy  *mesh.VersionPolicy // nil: only by label
	dialect mesh.Dialect        // of the policy
	nodes   []*node
}

// findVersions lists the versions that policies declare and those that
// workloads are labelled with.
func (c *checker) findVersions(s *site) {
	s.versions = nil
	for _, name := range s.promised {
		s.versions = append(s.versions, &version{name: name})
	}
	for _, p := range s.policy.versions {
		v := s.version(p.Name) // there already where it was assumed
		if v == nil {
			v = &version{name: p.Name}
			s.versions = append(s.versions, v)
		}
		v.policy, v.dialect = p, s.policy.dialect
		for _, n := range s.nodes {
			if v.selects(n) {
				v.nodes = append(v.nodes, n)
			}
		}
		if len(v.nodes) == 0 && s.has() || s.external != nil && !s.hasEndpointOf(v) {
			s.emptyVersion(p)
		}
	}
	for _, n := range s.nodes {
		if n.version == "" {
			continue
		}
		v := s.version(n.version)
		if v == nil {
			v = &version{name: n.version}
			s.versions = append(s.versions, v)
		}
		if v.policy == nil {
			v.nodes = append(v.nodes, n)
		}
	}
	slices.SortFunc(s.versions, func(a, b *version) int { return cmp.Compare(a.name, b.name) })
}

func (v *version) selects(n *node) bool {
	if v.byName() {
		return n.version == v.name
	}
	return Selects(v.policy.Labels, n.doc.Labels)
}

// byName reports whether the version is those workloads that say its name.
func (v *version) byName() bool {
	return v.policy == nil || v.policy.Labels == nil && v.dialect == mesh.Native
}

// selector is what the version is by labels of pods.
func (v *version) selector() map[string]string {
	if v.byName() {
		return map[string]string{versionLabel: v.name}
	}
	return v.policy.Labels
}

// versionLabel is where workloads of Kubernetes say their version.
const versionLabel = "version"

// emptyVersion reports a version without workloads.
func (s *site) emptyVersion(p *mesh.VersionPolicy) {
	report(&s.diags, s.policy.docs[0].Origin, diag.Diagnostic{
		Code: UnknownVersion, Severity: diag.Error, Span: p.Span,
		Message: fmt.Sprintf("version %q selects no %s of service %s", p.Name, s.parts(), s.key),
		Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		Fix:     suggest(p.Name, s.labelled()),
	})
}

// hasEndpointOf reports whether an address of an external service is of a version. One
// without would lead to the name of the service, and so to all of it.
func (s *site) hasEndpointOf(v *version) bool {
	for i := range s.static {
		if s.inVersion(v, &s.static[i]) {
			return true
		}
	}
	return s.external.Dialect != mesh.Istio
}

// parts is what versions are made of, for people.
func (s *site) parts() string {
	if s.external != nil {
		return "endpoint"
	}
	return "workload"
}

// labelled are the versions that the workloads have by label or declaration.
func (s *site) labelled() []string {
	var names []string
	for _, n := range s.nodes {
		if n.version != "" && !slices.Contains(names, n.version) {
			names = append(names, n.version)
		}
	}
	slices.Sort(names)
	return names
}

func (s *site) version(name string) *version {
	for _, v := range s.versions {
		if v.name == name {
			return v
		}
	}
	return nil
}

// versionFor finds a version as a dialect may name it: Istio's subsets exist
// only where a policy declares them.
func (s *site) versionFor(dialect mesh.Dialect, name string) *version {
	v := s.version(name)
	if v != nil && v.policy == nil && dialect == mesh.Istio {
		return nil
	}
	return v
}
