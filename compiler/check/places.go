package check

import (
	"iter"
	"maps"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Places returns where each rule is written, by its id: routing rules, access
// rules, and services for their default rules. Releases keep it beside the
// proxies' configuration, which names rules by id alone.
func (m *Mesh) Places() map[string]source.Span { return maps.Collect(m.places()) }

// SourceMap writes the places as a JSON object of "file:line:column" by id, each
// once, in the order of services and workloads.
func (m *Mesh) SourceMap() []byte {
	e := &encoder{}
	e.buf.WriteByte('{')
	e.buf.Grow(768 * len(m.services))
	written := make(map[string]bool, 12*len(m.services))
	for id, at := range m.places() {
		if written[id] {
			continue
		}
		e.separate(len(written))
		written[id] = true
		e.json(id)
		e.buf.WriteByte(':')
		e.json(at.String())
	}
	e.buf.WriteString("}\n")
	return e.buf.Bytes()
}

// places are all of them; one rule may be at several ports.
func (m *Mesh) places() iter.Seq2[string, source.Span] {
	return func(yield func(string, source.Span) bool) {
		for _, s := range m.services {
			for _, p := range s.Ports {
				for _, r := range p.Rules {
					if !yield(r.ID, r.Span) {
						return
					}
				}
			}
		}
		for _, w := range m.workloads {
			for _, in := range w.Inbound {
				for _, list := range [][]*mesh.AccessRule{in.Access.Deny, in.Access.Allow, in.Access.Audit, in.Access.Custom} {
					for _, r := range list {
						if !yield(r.ID, r.Span) {
							return
						}
					}
				}
			}
		}
	}
}
