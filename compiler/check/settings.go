package check

import (
	"cmp"
	"reflect"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// settings are the mesh-wide choices, public and private.
type settings struct {
	Settings
	mtls        mesh.MTLSMode
	capture     mesh.Capture // "" where the mesh does not say
	accessAllow bool
	access      []mesh.NamespaceAccess
	document    *mesh.Settings // nil: none
}

// equal reports whether nothing mesh-wide differs, so that earlier results hold.
func (s *settings) equal(o *settings) bool {
	return s.document == o.document && reflect.DeepEqual(s.Settings, o.Settings)
}

// settle makes the mesh-wide defaults explicit.
func (c *checker) settle() {
	doc := &mesh.Settings{}
	if len(c.in.Meshes) > 0 {
		doc = c.in.Meshes[0]
		c.set.document = doc
	}
	for _, extra := range c.in.Meshes[min(1, len(c.in.Meshes)):] {
		report(&c.diags, extra.Origin, diag.Diagnostic{
			Code: DuplicateObject, Severity: diag.Error,
			Message: "a second Mesh document: there is one mesh in a repository",
			Related: []diag.Related{{Span: doc.Span, Message: "the first"}},
		})
	}
	dialect := c.dialect(doc)
	native := dialect == mesh.Native
	strict := dialect != mesh.Istio // Linkerd's proxy does not rewrite paths, and nothing asks for less
	c.set.Settings = Settings{
		TrustDomain:          cmp.Or(doc.TrustDomain, "cluster.local"),
		ClusterDomain:        cmp.Or(doc.ClusterDomain, c.opt.ClusterDomain, "cluster.local"),
		Defaults:             dialect,
		AllowAnyEgress:       doc.EgressMode == "allow-any" || doc.EgressMode == "" && !native,
		TrustBundle:          doc.TrustBundle,
		EndpointCIDRs:        doc.EndpointCIDRs,
		MergeSlashes:         strict,
		RejectEscapedSlashes: strict,
	}
	c.set.mtls = cmp.Or(doc.MTLS, mesh.MTLSPermissive)
	if doc.MTLS == "" && native {
		c.set.mtls = mesh.MTLSStrict
	}
	c.set.capture = doc.Capture
	c.set.accessAllow = doc.AccessDefault == "allow"
	c.set.access = doc.NamespaceAllow
}

// dialect chooses whose defaults hold where a document does not say.
func (c *checker) dialect(doc *mesh.Settings) mesh.Dialect {
	switch {
	case doc.Defaults != "":
		return doc.Defaults
	case c.set.document != nil:
		return mesh.Native
	case c.in.istio == nil:
		c.nativeBesideLinkerd()
		return mesh.Native
	}
	report(&c.diags, *c.in.istio, diag.Diagnostic{
		Code: DialectDefaults, Severity: diag.Info,
		Message: "no Mesh document: Istio's defaults hold (permissive mTLS, access allowed unless a policy selects the workload, any egress)",
		Fix:     &diag.Fix{Message: "write a Mesh document with spec.defaults"},
	})
	return mesh.Istio
}

// nativeBesideLinkerd says whose defaults hold for Linkerd's documents: nothing is
// opened by leaving something out.
func (c *checker) nativeBesideLinkerd() {
	if len(c.in.Servers) == 0 {
		return
	}
	report(&c.diags, c.in.Servers[0].Origin, diag.Diagnostic{
		Code: DialectDefaults, Severity: diag.Info,
		Message: "no Mesh document: native defaults hold (strict mTLS, access denied unless allowed, registered egress), and not Linkerd's",
		Fix:     &diag.Fix{Message: "write a Mesh document with spec.defaults: linkerd, or native"},
	})
}

// identity is the SPIFFE id of a service account.
func (s *settings) identity(namespace, account string) string {
	return SPIFFE(s.TrustDomain, namespace, account)
}

// SPIFFE is the identity of a service account, in every place that compares one.
func SPIFFE(trustDomain, namespace, account string) string {
	return "spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + account
}
