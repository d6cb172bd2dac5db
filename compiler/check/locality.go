package check

import (
	"fmt"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// checkLocality reports a preference for near endpoints where endpoints stand in the
// signed release, which is the same for callers everywhere: shares alone can hold
// there. What nobody wrote (Istio's default) is left out without a word.
func (s *site) checkLocality(b *Backend) {
	l := b.Traffic.LoadBalancing.Locality
	if l == nil || b.TLS == TLSMesh || l.Weighted() && l.Distribute[0].From == "*" {
		return
	}
	b.Traffic.LoadBalancing.Locality = nil
	doc := s.policy.docs[0]
	if doc.Dialect == mesh.Istio && len(l.Priority)+len(l.Failover)+len(l.Distribute) == 0 ||
		slices.ContainsFunc(s.diags, func(d diag.Diagnostic) bool { return d.Code == Unsupported && d.Span == l.Span }) {
		return
	}
	severity := diag.Error
	if doc.Dialect == mesh.Istio {
		severity = diag.Warning
	}
	report(&s.diags, doc.Origin, diag.Diagnostic{
		Code: Unsupported, Severity: severity, Span: l.Span,
		Message: fmt.Sprintf("near endpoints of %s cannot be preferred: without mutual TLS of the mesh its endpoints are part of the release, which is the same for callers everywhere", s.key),
		Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		Fix:     &diag.Fix{Message: "write shares of places that hold for all callers, or leave it out"},
	})
}
