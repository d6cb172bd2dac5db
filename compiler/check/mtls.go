package check

import (
	"fmt"

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
