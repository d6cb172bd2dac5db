package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Ports of a sidecar: outbound and inbound capture; status of the agent, health,
// metrics of Envoy. They share the network namespace of the workload.
var (
	capturePorts = []uint32{15001, 15006}
	agentPorts   = []uint32{15020, 15021, 15090}
)

// checkReserved reports a workload that listens where its sidecar does: one of
// the two would not start. Manifests of Istio's gateways, which have no sidecar,
// name the agent's ports; that is a warning.
func (n *node) checkReserved(port uint32) {
	severity := diag.Error
	switch {
	case slices.Contains(capturePorts, port):
	case !slices.Contains(agentPorts, port):
		return
	case n.doc.Dialect == mesh.Kubernetes:
		severity = diag.Warning
	}
	at := source.Span{}
	if i := slices.IndexFunc(n.doc.Ports, func(p mesh.WorkloadPort) bool { return p.Number == port }); i >= 0 {
		at = n.doc.Ports[i].Span
	}
	report(&n.diags, n.doc.Origin, diag.Diagnostic{
		Code: ReservedPort, Severity: severity, Span: at,
		Message: fmt.Sprintf("workload %s listens on port %d, which is its sidecar's own", n.key, port),
		Fix:     &diag.Fix{Message: "listen on another port; 15001, 15006, 15020, 15021 and 15090 are the sidecar's"},
	})
}

// checkReserved reports a service at a port of capture: a captured connection to
// it could not be told from one that goes to the proxy.
func (s *site) checkReserved() {
	if _, own := s.doc.(*mesh.Workload); own {
		return // reported with the workload
	}
	for i := range s.ports {
		p := &s.ports[i]
		if !slices.Contains(capturePorts, p.Number) {
			continue
		}
		report(&s.diags, s.origin, diag.Diagnostic{
			Code: ReservedPort, Severity: diag.Error, Span: p.Span,
			Message: fmt.Sprintf("service %s has port %d, at which the sidecars of its callers listen", s.key, p.Number),
			Fix:     &diag.Fix{Message: "give the service another port"},
		})
	}
}
