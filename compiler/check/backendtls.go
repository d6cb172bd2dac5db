package check

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// originated is the TLS that a BackendTLSPolicy asks of the callers of a service.
type originated struct {
	doc    *mesh.BackendTLS
	target *mesh.BackendTarget
	roots  []*mesh.ConfigMap
	tls    mesh.ClientTLS
}

// backendTLSPolicies attaches BackendTLSPolicies to the services that they name.
func (c *checker) backendTLSPolicies() {
	for _, doc := range c.in.BackendTLS {
		c.of(doc, func() {
			roots, pem := c.rootsOf(doc)
			for i := range doc.Targets {
				c.originate(&originated{doc: doc, target: &doc.Targets[i], roots: roots, tls: doc.TLS}, pem)
			}
		})
	}
}

func (c *checker) originate(o *originated, roots string) {
	o.tls.CACerts = roots
	ref := o.target.Service
	s := c.names.service(ref, o.doc.Namespace)
	if s == nil {
		c.unknownTarget(o.doc.Origin, ref, o.doc.Namespace)
		return
	}
	if s.external != nil {
		report(&c.diags, o.doc.Origin, diag.Diagnostic{
			Code: UnknownDestination, Severity: diag.Error, Span: ref.Span,
			Message: fmt.Sprintf("%s is no Service", s.origin.Object()),
			Related: []diag.Related{{Span: s.origin.Span, Message: "here"}},
			Fix:     &diag.Fix{Message: "write tls there"},
		})
		return
	}
	if s.has() {
		// A proxy in front of the server ends the mesh's TLS and takes plaintext; of
		// other TLS it would see neither requests nor who calls.
		report(&c.diags, o.doc.Origin, diag.Diagnostic{
			Code: MTLSConflict, Severity: diag.Error, Span: ref.Span,
			Message: fmt.Sprintf("service %s has workloads of the mesh, such as %s, whose proxy takes no TLS but the mesh's: every call would fail", s.key, s.nodes[0].key),
			Related: []diag.Related{{Span: s.nodes[0].doc.Span, Message: "the workload"}},
			Fix:     &diag.Fix{Message: "remove the target: the mesh's own TLS is used where the workloads take it"},
		})
		return
	}
	if o.target.Port != "" && s.portNamed(o.target.Port) == nil {
		report(&c.diags, o.doc.Origin, diag.Diagnostic{
			Code: PortMismatch, Severity: diag.Error, Span: o.target.PortAt,
			Message: fmt.Sprintf("service %s has no port named %s; it has %s", s.key, o.target.Port, s.portList()),
			Related: []diag.Related{{Span: s.origin.Span, Message: "the service"}},
		})
		return
	}
	for _, first := range s.callers {
		if first.target.Port == o.target.Port {
			c.conflicted(s, first, o)
			return
		}
	}
	s.callers = append(s.callers, o)
}

// conflicted reports the later of two policies about one target: "the policy appearing
// first in alphabetical order by {namespace}/{name}" is in force, since files have no
// time of creation (BackendTLSPolicySpec.targetRefs).
func (c *checker) conflicted(s *site, first, o *originated) {
	what := "service " + s.key
	if o.target.Port != "" {
		what = fmt.Sprintf("port %s of %s", o.target.Port, what)
	}
	report(&c.diags, o.doc.Origin, diag.Diagnostic{
		Code: DuplicatePolicy, Severity: diag.Error, Span: o.target.Service.Span,
		Message: fmt.Sprintf("%s already has %s", what, first.doc.Object()),
		Related: []diag.Related{{Span: first.target.Service.Span, Message: "the first, which is used"}},
		Fix:     &diag.Fix{Message: "make one document of the two"},
	})
}

// rootsOf finds the certificates of a policy's CA. Where one is missing, the build
// fails: the public roots would let in others.
func (c *checker) rootsOf(doc *mesh.BackendTLS) (roots []*mesh.ConfigMap, all string) {
	var text strings.Builder
	for _, ref := range doc.Roots {
		m := c.configMap(ref)
		if m == nil {
			report(&c.diags, doc.Origin, diag.Diagnostic{
				Code: UnknownDestination, Severity: diag.Error, Span: ref.Span,
				Message: fmt.Sprintf("no ConfigMap %s with the key ca.crt in this repository", ref),
				Fix:     &diag.Fix{Message: "add the ConfigMap beside the policy; of a cluster's objects ConfigMaps are not read"},
			})
			continue
		}
		if err := certificates(m.CA); err != nil {
			report(&c.diags, doc.Origin, diag.Diagnostic{
				Code: UnknownDestination, Severity: diag.Error, Span: ref.Span,
				Message: fmt.Sprintf("ca.crt of ConfigMap %s: %v", ref, err),
				Related: []diag.Related{{Span: m.Span, Message: "here"}},
				Fix:     &diag.Fix{Message: "write PEM: one or more BEGIN CERTIFICATE blocks"},
			})
			continue
		}
		roots = append(roots, m)
		text.WriteString(strings.TrimSpace(m.CA) + "\n")
	}
	return roots, text.String()
}

func (c *checker) configMap(ref mesh.Ref) *mesh.ConfigMap {
	for _, m := range c.in.ConfigMaps {
		if m.Namespace == ref.Namespace && m.Name == ref.Name {
			return m
		}
	}
	return nil
}

// certificates reports what is wrong with certificates in PEM.
func certificates(text string) error {
	rest, found := []byte(text), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("a PEM block %.40q: want certificates only", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %w", found+1, err)
		}
		found++
	}
	if found == 0 || strings.TrimSpace(string(rest)) != "" {
		return fmt.Errorf("is not PEM")
	}
	return nil
}

func (s *site) portNamed(name string) *mesh.ServicePort {
	for i := range s.ports {
		if s.ports[i].Name == name {
			return &s.ports[i]
		}
	}
	return nil
}

// originates is the policy in force for a port: one of its own before that of the
// whole service.
func (s *site) originates(port uint32) *originated {
	var whole *originated
	name := s.port(port).Name
	for _, o := range s.callers {
		switch o.target.Port {
		case "":
			whole = o
		case name:
			return o
		}
	}
	return whole
}

// onlyTLS reports what contradicts a BackendTLSPolicy: TLS that a traffic policy says,
// and a port whose bytes are TLS already.
func (s *site) onlyTLS(o *originated, other *mesh.ClientTLS, port uint32) *mesh.ClientTLS {
	if other != nil {
		report(&s.diags, o.doc.Origin, diag.Diagnostic{
			Code: MTLSConflict, Severity: diag.Error, Span: o.tls.Span,
			Message: fmt.Sprintf("%s says already which TLS clients speak to port %d of service %s", s.policy.docs[0].Object(), port, s.key),
			Related: []diag.Related{{Span: other.Span, Message: "here"}},
			Fix:     &diag.Fix{Message: "keep one of the two"},
		})
	}
	if p := s.port(port); p.Protocol == mesh.TLS {
		report(&s.diags, o.doc.Origin, diag.Diagnostic{
			Code: MTLSConflict, Severity: diag.Error, Span: o.tls.Span,
			Message: fmt.Sprintf("clients speak TLS of their own to port %d of service %s, and the policy would wrap it in another", port, s.key),
			Related: []diag.Related{{Span: p.Span, Message: "the port"}},
			Fix:     &diag.Fix{Message: "give the port the protocol inside of TLS, such as appProtocol: http, or name another by sectionName"},
		})
	}
	return &o.tls
}
