package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// checkPolicyProtocol reports settings about requests for a service that has
// none: no port of it speaks HTTP. Istio accepts them without effect.
func (s *site) checkPolicyProtocol(doc *mesh.TrafficPolicy) {
	if len(s.ports) == 0 || slices.ContainsFunc(s.ports, func(p mesh.ServicePort) bool { return p.Protocol.IsHTTP() }) {
		return
	}
	s.onlyConnections(doc, &doc.TrafficSettings)
	for i := range doc.Versions {
		s.onlyConnections(doc, &doc.Versions[i].TrafficSettings)
	}
	for i := range doc.Ports {
		s.onlyConnections(doc, &doc.Ports[i].TrafficSettings)
	}
}

func (s *site) onlyConnections(doc *mesh.TrafficPolicy, set *mesh.TrafficSettings) {
	if lb := set.LoadBalancing; lb != nil && slices.ContainsFunc(lb.Hash, func(k mesh.HashKey) bool { return !k.SourceIP }) {
		s.noRequests(doc, lb.Span, "loadBalancing hashes a part of the request")
	}
	if f := set.Fallback; f != nil {
		s.noRequests(doc, f.Span, "fallback answers requests")
	}
}

func (s *site) noRequests(doc *mesh.TrafficPolicy, at source.Span, what string) {
	severity := diag.Error
	if doc.Dialect == mesh.Istio {
		severity = diag.Warning
	}
	report(&s.diags, doc.Origin, diag.Diagnostic{
		Code: HTTPOnly, Severity: severity, Span: at,
		Message: fmt.Sprintf("%s, but no port of service %s speaks HTTP: there are only connections", what, s.key),
		Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
	})
}
