package check

import (
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// checkGRPC reports gRPC that is sent where only HTTP/1.1 is spoken, which has no
// trailers to say how a call ended. A port that says http speaks what its client
// speaks, so that gRPC arrives there, unless the policy forbids HTTP/2. Istio
// accepts the route.
func (at *location) checkGRPC(r *Rule, grpc bool) {
	if !grpc {
		return
	}
	severity := diag.Error
	if at.dialect() == mesh.Istio {
		severity = diag.Warning
	}
	for i := range r.To {
		b := r.To[i].Backend
		if b.Port.Protocol != mesh.HTTP || b.Traffic.Connections.HTTP2 != "never" {
			continue
		}
		at.report(diag.Diagnostic{
			Code: PortMismatch, Severity: severity, Span: r.To[i].Span,
			Message: fmt.Sprintf("rule %q sends gRPC to port %d of service %s, whose TrafficPolicy forbids HTTP/2: every call would fail", r.Name, b.Port.Number, b.Port.Service.Key()),
			Related: []diag.Related{{Span: b.Traffic.Connections.Span, Message: "HTTP/2 is forbidden here"}},
			Fix:     &diag.Fix{Message: "declare the port as grpc, or remove http2: false"},
		})
	}
}
