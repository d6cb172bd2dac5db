package check

import (
	"fmt"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// checkNames reports TLS to a backend of which nothing says whom to expect:
// verified against nothing, it would trust every holder of a certificate.
func (s *site) checkNames(written *mesh.ClientTLS, b *Backend) {
	d := diag.Diagnostic{Code: MTLSConflict, Severity: diag.Error, Span: written.Span}
	switch {
	case written.Mode == "mesh" && len(b.Identities) == 0 && !s.has():
		d.Message = fmt.Sprintf("clients are told to use the mesh's TLS to port %d of service %s, but no workload of this repository is behind it: there is no identity to expect", b.Port.Number, s.key)
		d.Related = []diag.Related{{Span: s.origin.Span, Message: "the service"}}
		d.Fix = &diag.Fix{Message: "declare the workloads of the service, or write mode simple or disable"}
	case (written.Mode == "simple" || written.Mode == "mutual") && s.nameless(written, b):
		d.Message = fmt.Sprintf("clients are told to use TLS to port %d of service %s, whose hosts (%s) have no name that its certificate could be held to", b.Port.Number, s.key, strings.Join(s.hosts, ", "))
		d.Fix = &diag.Fix{Message: "write sni or subjectAltNames"}
	default:
		return
	}
	report(&s.diags, s.authorOf(written), d)
}

// authorOf is the document that says which TLS clients speak.
func (s *site) authorOf(written *mesh.ClientTLS) mesh.Origin {
	for _, o := range s.callers {
		if &o.tls == written {
			return o.doc.Origin
		}
	}
	if len(s.policy.docs) > 0 && s.tls != written {
		return s.policy.docs[0].Origin
	}
	return s.origin
}

// nameless reports a backend whose certificate nothing names: no policy, no host
// but wildcards, and no request whose own host could be taken.
func (s *site) nameless(written *mesh.ClientTLS, b *Backend) bool {
	if written.SNI != "" || len(written.SANs) > 0 || written.SkipCheck {
		return false
	}
	if s.external != nil && b.Port.Protocol.IsHTTP() {
		return false // Envoy's auto_sni and auto_san_validation
	}
	for _, h := range s.hosts {
		if !strings.HasPrefix(h, "*") {
			return false
		}
	}
	return true
}
