package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// shell makes the service with its ports, still without workloads, backends
// and rules: the pointers that others need first.
func (s *site) shell() {
	svc := &Service{
		Origin: s.origin, Namespace: s.ns, Name: s.name, key: s.key, Hosts: s.hosts, ShortName: s.short,
		External: s.external, Assumed: s.assumed != nil, Virtual: s.virtual,
		Meshed: s.has(), VisibleTo: s.visible,
	}
	for i := range s.ports {
		p := &s.ports[i]
		if i > 0 && s.ports[i-1].Number == p.Number {
			s.duplicatePort(p, &s.ports[i-1])
			continue
		}
		svc.Ports = append(svc.Ports, &Port{Service: svc, Number: p.Number, Name: p.Name, Protocol: cmp.Or(p.Protocol, mesh.TCP)})
	}
	s.svc = svc
}

func (s *site) duplicatePort(p, first *mesh.ServicePort) {
	report(&s.diags, s.origin, diag.Diagnostic{
		Code: PortMismatch, Severity: diag.Error, Span: p.Span,
		Message: fmt.Sprintf("service %s has port %d twice", s.key, p.Number),
		Related: []diag.Related{{Span: first.Span, Message: "the first"}},
	})
}

// backends fills the ports' backends: all of the service, then its versions.
func (c *checker) backends(s *site) {
	for _, n := range s.nodes {
		s.svc.Workloads = append(s.svc.Workloads, n.server)
	}
	for _, p := range s.svc.Ports {
		p.Backends = append(p.Backends, c.backend(s, p, nil, s.nodes))
		for _, v := range s.versions {
			p.Backends = append(p.Backends, c.backend(s, p, v, v.nodes))
		}
	}
}

func (c *checker) backend(s *site, p *Port, v *version, nodes []*node) *Backend {
	b := &Backend{Port: p, Traffic: c.traffic(s, p.Number, v), DNS: s.dns}
	if v != nil {
		b.Version, b.Selector = v.name, v.selector()
	}
	for _, n := range nodes {
		b.Workloads = append(b.Workloads, n.server)
		b.Identities = append(b.Identities, n.server.Identity)
	}
	slices.Sort(b.Identities)
	b.Identities = slices.Compact(b.Identities)
	target := s.port(p.Number)
	for _, e := range s.static {
		if v != nil && !s.inVersion(v, &e) {
			continue
		}
		e.Port = cmp.Or(e.Port, target.Target, p.Number)
		b.Static = append(b.Static, e)
	}
	if s.external != nil {
		b.FirstAddress = s.external.Resolution == "dns-first"
		b.Traffic.ClientTLS = withNames(b.Traffic.ClientTLS, s.external.SANs)
	}
	b.TLS = c.backendTLS(s, target, b, nodes)
	s.checkLocality(b)
	return b
}

// inVersion reports whether an endpoint is of a version: Istio's subsets choose by
// label, also among addresses that policy writes.
func (s *site) inVersion(v *version, e *mesh.Endpoint) bool {
	if s.external == nil || s.external.Dialect != mesh.Istio || v.policy == nil {
		return true
	}
	return Selects(v.policy.Labels, e.Labels)
}

// withNames adds the names that the destination says itself to TLS that says none
// (cluster_tls.go: "Use subject alt names specified in service entry").
func withNames(c *mesh.ClientTLS, names []string) *mesh.ClientTLS {
	if c == nil || len(names) == 0 || len(c.SANs) > 0 || c.SkipCheck || c.Mode != "simple" && c.Mode != "mutual" {
		return c
	}
	out := *c
	out.SANs = names
	return &out
}

// backendTLS chooses the transport: mutual TLS where every workload takes it,
// unless a policy says otherwise.
func (c *checker) backendTLS(s *site, port *mesh.ServicePort, b *Backend, nodes []*node) BackendTLS {
	modes := modesOf(port, nodes)
	written := b.Traffic.ClientTLS
	if written != nil {
		s.checkTLS(written, modes, b)
		s.checkNames(written, b)
		switch written.Mode {
		case "mesh":
			b.Traffic.ClientTLS = nil
			return TLSMesh
		case "disable":
			b.Traffic.ClientTLS = nil
			return TLSPlain
		}
		return TLSSimple
	}
	if len(modes[mesh.MTLSStrict])+len(modes[mesh.MTLSPermissive]) == 0 {
		return TLSPlain
	}
	if off := modes[mesh.MTLSDisable]; len(off) > 0 {
		report(&s.diags, s.origin, diag.Diagnostic{
			Code: MTLSConflict, Severity: diag.Error, Span: port.Span,
			Message: fmt.Sprintf("port %d of service %s leads to workloads with and without mTLS: %s takes only plaintext", port.Number, s.key, off[0].key),
			Related: []diag.Related{{Span: off[0].doc.Span, Message: "the workload without mTLS"}},
		})
	}
	return TLSMesh
}

// modesOf groups the workloads behind a port by the mode that they demand.
func modesOf(port *mesh.ServicePort, nodes []*node) map[mesh.MTLSMode][]*node {
	out := map[mesh.MTLSMode][]*node{}
	for _, n := range nodes {
		target, ok := n.target(port)
		if !ok {
			continue
		}
		for _, in := range n.server.Inbound {
			if in.Port == target {
				out[in.MTLS] = append(out[in.MTLS], n)
			}
		}
	}
	return out
}

// checkTLS compares what clients are told to send with what servers take.
func (s *site) checkTLS(written *mesh.ClientTLS, modes map[mesh.MTLSMode][]*node, b *Backend) {
	wrong, takes := modes[mesh.MTLSStrict], "only mTLS"
	if written.Mode == "mesh" {
		wrong, takes = modes[mesh.MTLSDisable], "only plaintext"
	}
	if len(wrong) == 0 {
		return
	}
	report(&s.diags, s.authorOf(written), diag.Diagnostic{
		Code: MTLSConflict, Severity: diag.Error, Span: written.Span,
		Message: fmt.Sprintf("clients are told to use TLS mode %q to port %d of service %s, but workload %s takes %s: every call would fail", written.Mode, b.Port.Number, s.key, wrong[0].key, takes),
		Related: []diag.Related{{Span: wrong[0].doc.Span, Message: "the workload"}},
		Fix:     &diag.Fix{Message: "remove it: the mesh's own TLS is used where the workloads take it"},
	})
}
