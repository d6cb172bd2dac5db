package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Ranks of a peer policy's target, the most specific last.
const (
	rankMesh = iota + 1
	rankNamespace
	rankWorkload
)

func rankOf(t *mesh.Target) int {
	switch {
	case t.MeshWide:
		return rankMesh
	case t.NamespaceWide:
		return rankNamespace
	}
	return rankWorkload
}

// mtls is the mode of an inbound port: what a policy says about the port, else
// about the workload, else about its namespace, else about the mesh. Of two
// policies of one rank the first by name wins.
func (c *checker) mtls(n *node, in *Inbound) mesh.MTLSMode {
	for rank := rankWorkload; rank >= rankMesh; rank-- {
		for _, p := range n.peers {
			if mode := portMode(p, in); rankOf(&p.Target) == rank && mode != mesh.MTLSUnset {
				return mode
			}
		}
	}
	for rank := rankWorkload; rank >= rankMesh; rank-- {
		for _, p := range n.peers {
			if rankOf(&p.Target) == rank && p.Mode != mesh.MTLSUnset {
				return p.Mode
			}
		}
	}
	return c.set.mtls
}

// portMode is what a policy says about one port: native documents name ports of
// the service, Istio's those of the workload.
func portMode(p *mesh.PeerPolicy, in *Inbound) mesh.MTLSMode {
	if p.Dialect != mesh.Native {
		return p.Ports[in.Port]
	}
	for _, sp := range in.Services {
		if mode := p.Ports[sp.Number]; mode != mesh.MTLSUnset {
			return mode
		}
	}
	if len(in.Services) == 0 {
		return p.Ports[in.Port]
	}
	return mesh.MTLSUnset
}

// checkPeers reports policies of one rank that compete for a workload.
func (n *node) checkPeers() {
	first := map[int]*mesh.PeerPolicy{}
	for _, p := range n.peers {
		rank := rankOf(&p.Target)
		if first[rank] == nil {
			first[rank] = p
			continue
		}
		report(&n.diags, p.Origin, diag.Diagnostic{
			Code: DuplicatePolicy, Severity: diag.Warning,
			Message: fmt.Sprintf("workload %s already has %s of the same rank, which wins", n.key, first[rank].Object()),
			Related: []diag.Related{{Span: first[rank].Span, Message: "the first"}},
		})
	}
}

// checkPeerPorts reports modes of ports that no selected workload has: the port
// that was meant keeps another mode. Istio's documents name ports of workloads,
// which manifests need not declare.
func (c *checker) checkPeerPorts(p *mesh.PeerPolicy, nodes []*node) {
	severity := diag.Error
	if p.Dialect != mesh.Native {
		severity = diag.Warning
	}
	for _, port := range slices.Sorted(maps.Keys(p.Ports)) {
		if len(nodes) == 0 || slices.ContainsFunc(nodes, func(n *node) bool { return n.hasPort(p, port) }) {
			continue
		}
		report(&c.diags, p.Origin, diag.Diagnostic{
			Code: PortMismatch, Severity: severity, Span: p.Span,
			Message: fmt.Sprintf("port %d has an mTLS mode here, but none of the workloads that %s selects has the port", port, p.Object()),
			Related: []diag.Related{{Span: nodes[0].doc.Span, Message: "a workload"}},
		})
	}
}

// hasPort counts ports as the policy does, see portMode.
func (n *node) hasPort(p *mesh.PeerPolicy, port uint32) bool {
	for _, s := range n.sites {
		for i := range s.ports {
			number := s.ports[i].Number
			if p.Dialect != mesh.Native {
				number, _ = n.target(&s.ports[i])
			}
			if number == port {
				return true
			}
		}
	}
	return slices.ContainsFunc(n.doc.Ports, func(d mesh.WorkloadPort) bool { return d.Number == port })
}
