package check

import (
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Places returns where each rule is written, by its id: routing rules, access
// rules, and services for their default rules. Releases keep it beside the
// proxies' configuration, which names rules by id alone.
func (m *Mesh) Places() map[string]source.Span {
	places := map[string]source.Span{}
	for _, s := range m.services {
		for _, p := range s.Ports {
			for _, r := range p.Rules {
				places[r.ID] = r.Span
			}
		}
	}
	for _, w := range m.workloads {
		for _, in := range w.Inbound {
			for _, list := range [][]*mesh.AccessRule{in.Access.Deny, in.Access.Allow, in.Access.Audit, in.Access.Custom} {
				for _, r := range list {
					places[r.ID] = r.Span
				}
			}
		}
	}
	return places
}
