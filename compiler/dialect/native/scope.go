package native

import (
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (t *translator) mesh(spec *load.Node) {
	s := &mesh.Settings{
		Origin:        t.Origin,
		TrustDomain:   spec.TextOf("trustDomain"),
		TrustDomainAt: t.At(spec, "trustDomain"),
		Defaults:      mesh.Dialect(spec.TextOf("defaults")),
		EgressMode:    egress(spec),
		Capture:       mesh.Capture(spec.TextOf("capture")),
		TrustBundle:   t.certificates(spec, "trustBundle"),
		EndpointCIDRs: t.blocks(spec, "endpointCIDRs"),
		EndpointsAt:   t.At(spec, "endpointCIDRs"),
	}
	t.providers(spec.Get("providers"), s)
	if mtls := spec.Get("mtls"); mtls != nil {
		s.MTLS, _ = t.mtls(mtls, "permissive mTLS of the mesh")
	}
	t.meshAccess(spec.Get("access"), s)
	if n := spec.Get("invariants"); n != nil {
		t.invariant(n)
	}
	t.out.Meshes = []*mesh.Settings{s}
}

func (t *translator) meshAccess(n *load.Node, s *mesh.Settings) {
	if n == nil {
		return
	}
	s.AccessDefault = n.TextOf("default")
	t.expires(n, "expires", "open mesh")
	if s.AccessDefault == "allow" && n.Get("expires") == nil {
		d := t.Wrong(t.At(n, "default"), "the mesh is open without an end")
		d.Fix = &diag.Fix{Message: "write expires: with the day by which every namespace has access policies"}
	}
	for _, item := range n.ItemsOf("namespaces") {
		name := item.TextOf("name")
		access := mesh.NamespaceAccess{
			Name:    name,
			Allow:   item.TextOf("default") == "allow",
			Expires: t.expires(item, "expires", "open namespace "+name),
			Span:    t.At(item, ""),
		}
		if access.Allow && item.Get("expires") == nil {
			d := t.Wrong(t.At(item, "default"), "namespace %s is open without an end", name)
			d.Fix = &diag.Fix{Message: "write expires: with the day by which it has access policies"}
		}
		s.NamespaceAllow = append(s.NamespaceAllow, access)
	}
}

func (t *translator) assumption(spec *load.Node) {
	a := &mesh.Assumption{Origin: t.Origin}
	t.refuse(spec, "issuers", "")
	t.refuse(spec, "serviceAccounts", "leave it out: service accounts need no declaration")
	for _, n := range spec.ItemsOf("services") {
		a.Services = append(a.Services, t.assumedService(n))
	}
	for _, n := range spec.ItemsOf("gateways") {
		t.refuse(n, "hosts", "leave it out: any host is accepted")
		ref := t.ref(n, "name")
		a.Gateways = append(a.Gateways, ref.Namespace+"/"+ref.Name)
	}
	t.out.Assumptions = []*mesh.Assumption{a}
}

func (t *translator) assumedService(n *load.Node) mesh.AssumedService {
	t.refuse(n, "serviceAccounts", "leave it out: the service is called without mutual TLS")
	s := mesh.AssumedService{Ref: t.ref(n, "name"), Versions: texts(n, "versions")}
	for _, p := range t.servicePorts(n) {
		s.Ports = append(s.Ports, p.Number)
	}
	for _, p := range n.ItemsOf("ports") {
		t.refuse(p, "targetPort", "leave it out: callers use the port")
		if protocol := p.TextOf("protocol"); protocol != "" && protocol != "http" {
			t.Unsupported(t.At(p, "protocol"), "protocol %s of an assumed service is not supported yet: declare it with an ExternalService", protocol)
		}
	}
	return s
}

func (t *translator) grant(spec *load.Node) {
	g := &mesh.Grant{Origin: t.Origin, From: texts(spec, "namespaces")}
	t.refuse(spec, "delegateTo", "")
	t.refuse(spec, "delegatedBy", "")
	to := spec.Get("routeTo")
	if to == nil {
		return // without routeTo, an empty list of services would be all of them
	}
	switch which(to, "services", "anything") {
	case "anything":
		if !to.IsTrue("anything") {
			return
		}
	default:
		for _, name := range exactly(to, "services") {
			g.To = append(g.To, mesh.Ref{Name: name.Value, Namespace: t.Namespace, Span: name.Span})
		}
		if len(g.To) == 0 {
			return
		}
	}
	t.out.Grants = []*mesh.Grant{g}
}

func (t *translator) waiver(spec *load.Node) {
	w := &mesh.Waiver{
		Origin:      t.Origin,
		Fingerprint: spec.TextOf("fingerprint"),
		Code:        spec.TextOf("code"),
		Reason:      spec.TextOf("reason"),
		Owner:       spec.TextOf("owner"),
	}
	w.Expires = t.expires(spec, "expires", fmt.Sprintf("waiver of finding %s (owner %s)", w.Fingerprint, w.Owner))
	t.out.Waivers = []*mesh.Waiver{w}
}
