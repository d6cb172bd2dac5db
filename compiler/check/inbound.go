package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// inbounds lists what the workload listens on: the targets of its services and
// the ports that it declares.
func (c *checker) inbounds(n *node) []*Inbound {
	byPort := map[uint32]*Inbound{}
	for _, s := range n.sites {
		for i := range s.ports {
			c.leadIn(n, s, &s.ports[i], byPort)
		}
	}
	for _, p := range n.doc.Ports {
		if byPort[p.Number] == nil {
			byPort[p.Number] = &Inbound{Port: p.Number, Protocol: declaredProtocol(n.doc, p)}
		}
	}
	for port := range c.gatewayPorts(n) {
		delete(byPort, port) // there is no application behind it
	}
	out := make([]*Inbound, 0, len(byPort))
	for _, port := range slices.Sorted(maps.Keys(byPort)) {
		in := byPort[port]
		n.checkReserved(port)
		in.MTLS = c.mtls(n, in)
		in.Access = c.accessOf(n, in)
		out = append(out, in)
	}
	return out
}

// leadIn adds a service port to the inbound port that it targets.
func (c *checker) leadIn(n *node, s *site, p *mesh.ServicePort, byPort map[uint32]*Inbound) {
	target, ok := n.target(p)
	if !ok {
		return // reported with the service
	}
	in := byPort[target]
	if in == nil {
		in = &Inbound{Port: target, Protocol: p.Protocol}
		byPort[target] = in
	}
	both, ok := inboundProtocol(in.Protocol, p.Protocol)
	if !ok {
		report(&n.diags, s.origin, diag.Diagnostic{
			Code: PortMismatch, Severity: diag.Error, Span: p.Span,
			Message: fmt.Sprintf("port %d of workload %s is %s here and %s for service %s", target, n.key, p.Protocol, in.Protocol, in.Services[0].Service.Key()),
		})
	}
	in.Protocol = both
	in.Services = append(in.Services, s.svc.Port(p.Number))
}

// inboundProtocol is what a port speaks that two services declare, where they do
// not contradict each other: gRPC is HTTP/2.
func inboundProtocol(a, b mesh.Protocol) (mesh.Protocol, bool) {
	if a == mesh.GRPC && b == mesh.HTTP2 || a == mesh.HTTP2 && b == mesh.GRPC {
		return mesh.HTTP2, true
	}
	return a, a == b
}

// target is the port of the workload that a service port leads to.
func (n *node) target(p *mesh.ServicePort) (uint32, bool) {
	if p.TargetName == "" {
		return cmp.Or(p.Target, p.Number), true
	}
	for _, have := range n.doc.Ports {
		if have.Name == p.TargetName {
			return have.Number, true
		}
	}
	return 0, false
}

// declaredProtocol is the protocol of a port that no service names. A native
// document declares ports in order to be called, by HTTP unless it says
// otherwise; a container port of Kubernetes may be anything.
func declaredProtocol(doc *mesh.Workload, p mesh.WorkloadPort) mesh.Protocol {
	if doc.Dialect == mesh.Native {
		return cmp.Or(p.Protocol, mesh.HTTP)
	}
	return cmp.Or(p.Protocol, mesh.TCP)
}
