package native

import (
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (t *translator) mesh(spec *load.Node) {
	s := &mesh.Settings{
		Origin:        t.Origin,
		TrustDomain:   text(spec, "trustDomain"),
		TrustDomainAt: t.at(spec, "trustDomain"),
		Defaults:      mesh.Dialect(text(spec, "defaults")),
		EgressMode:    egress(spec),
		Capture:       mesh.Capture(text(spec, "capture")),
		TrustBundle:   t.certificates(spec, "trustBundle"),
		EndpointCIDRs: t.blocks(spec, "endpointCIDRs"),
		EndpointsAt:   t.at(spec, "endpointCIDRs"),
	}
	if s.Defaults == mesh.Linkerd {
		t.notYet(t.at(spec, "defaults"), "defaults linkerd are not supported yet: write native or istio")
	}
	t.unsupported(spec, "providers", "")
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
	s.AccessDefault = text(n, "default")
	t.expires(n, "expires", "open mesh")
	if s.AccessDefault == "allow" && n.Get("expires") == nil {
		d := t.wrong(t.at(n, "default"), "the mesh is open without an end")
		d.Fix = &diag.Fix{Message: "write expires: with the day by which every namespace has access policies"}
	}
	for _, item := range items(n, "namespaces") {
		name := text(item, "name")
		access := mesh.NamespaceAccess{
			Name:    name,
			Allow:   text(item, "default") == "allow",
			Expires: t.expires(item, "expires", "open namespace "+name),
			Span:    t.at(item, ""),
		}
		if access.Allow && item.Get("expires") == nil {
			d := t.wrong(t.at(item, "default"), "namespace %s is open without an end", name)
			d.Fix = &diag.Fix{Message: "write expires: with the day by which it has access policies"}
		}
		s.NamespaceAllow = append(s.NamespaceAllow, access)
	}
}

func (t *translator) assumption(spec *load.Node) {
	a := &mesh.Assumption{Origin: t.Origin}
	t.unsupported(spec, "issuers", "")
	t.unsupported(spec, "serviceAccounts", "leave it out: service accounts need no declaration")
	for _, n := range items(spec, "services") {
		a.Services = append(a.Services, t.assumedService(n))
	}
	for _, n := range items(spec, "gateways") {
		t.unsupported(n, "hosts", "leave it out: any host is accepted")
		ref := t.ref(n, "name")
		a.Gateways = append(a.Gateways, ref.Namespace+"/"+ref.Name)
	}
	t.out.Assumptions = []*mesh.Assumption{a}
}

func (t *translator) assumedService(n *load.Node) mesh.AssumedService {
	t.unsupported(n, "serviceAccounts", "leave it out: the service is called without mutual TLS")
	s := mesh.AssumedService{Ref: t.ref(n, "name"), Versions: texts(n, "versions")}
	for _, p := range t.servicePorts(n) {
		s.Ports = append(s.Ports, p.Number)
	}
	for _, p := range items(n, "ports") {
		t.unsupported(p, "targetPort", "leave it out: callers use the port")
		if protocol := text(p, "protocol"); protocol != "" && protocol != "http" {
			t.notYet(t.at(p, "protocol"), "protocol %s of an assumed service is not supported yet: declare it with an ExternalService", protocol)
		}
	}
	return s
}

func (t *translator) grant(spec *load.Node) {
	g := &mesh.Grant{Origin: t.Origin, From: texts(spec, "namespaces")}
	t.unsupported(spec, "delegateTo", "")
	t.unsupported(spec, "delegatedBy", "")
	to := spec.Get("routeTo")
	if to == nil {
		return // without routeTo, an empty list of services would be all of them
	}
	switch which(to, "services", "anything") {
	case "anything":
		if !isTrue(to, "anything") {
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
		Fingerprint: text(spec, "fingerprint"),
		Code:        text(spec, "code"),
		Reason:      text(spec, "reason"),
		Owner:       text(spec, "owner"),
		Expires:     t.date(spec, "expires"), // judged with the finding that it accepts
		ExpiresAt:   t.at(spec, "expires"),
	}
	t.out.Waivers = []*mesh.Waiver{w}
}
