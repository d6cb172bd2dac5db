package native

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (t *translator) meshGateway(spec *load.Node) {
	g := &mesh.Gateway{Origin: t.Origin, Workload: spec.TextOf("workload"), WorkloadAt: t.At(spec, "workload")}
	for _, n := range spec.ItemsOf("listeners") {
		g.Listeners = append(g.Listeners, t.listener(n))
	}
	t.out.Gateways = []*mesh.Gateway{g}
}

func (t *translator) listener(n *load.Node) *mesh.Listener {
	l := &mesh.Listener{
		Name:            n.TextOf("name"),
		Port:            port(n, "port"),
		PortAt:          t.At(n, "port"),
		Protocol:        mesh.ListenerProtocol(n.TextOf("protocol")),
		RedirectToHTTPS: n.IsTrue("redirectToHTTPS"),
		Span:            t.At(n, "name"),
	}
	seen := map[string]source.Span{}
	for _, v := range n.ItemsOf("hosts") {
		t.unique(seen, v, "host")
		if v.Kind == load.String {
			l.Hosts = append(l.Hosts, mesh.ListenerHost{Name: v.Text, Span: v.Span})
		}
	}
	t.routesFrom(n.Get("routesFrom"), l)
	t.listenerTLS(n, l)
	switch {
	case l.Protocol == mesh.ListenTCP && len(l.Hosts) > 0:
		t.Wrong(n.Field("hosts").KeySpan, "hosts have no meaning with protocol tcp, whose connections name none")
	case l.RedirectToHTTPS && l.Protocol != mesh.ListenHTTP:
		t.Wrong(n.Field("redirectToHTTPS").KeySpan, "redirectToHTTPS has no meaning with protocol %s", l.Protocol)
	}
	return l
}

func (t *translator) routesFrom(n *load.Node, l *mesh.Listener) {
	if n == nil {
		return
	}
	l.AnyNamespace = n.IsTrue("anywhere")
	l.RoutesFrom = append([]string{}, texts(n, "namespaces")...)
}

// listenerTLS holds the fields to the protocol and the mode: nothing that is
// written is without effect.
func (t *translator) listenerTLS(listener *load.Node, l *mesh.Listener) {
	n := listener.Get("tls")
	if n == nil {
		if l.Protocol.IsTLS() {
			t.Wrong(t.At(listener, "protocol"), "tls is required with protocol %s", l.Protocol)
		}
		return
	}
	if !l.Protocol.IsTLS() && l.Protocol != "" {
		t.Wrong(listener.Field("tls").KeySpan, "tls has no meaning with protocol %s: write https or tls", l.Protocol)
		return
	}
	tls := &mesh.ServerTLS{
		Mode:         mesh.TLSTermination(n.TextOf("mode")),
		MinVersion:   n.TextOf("minVersion"),
		MaxVersion:   n.TextOf("maxVersion"),
		CipherSuites: texts(n, "cipherSuites"),
		Span:         n.Span,
	}
	seen := map[string]source.Span{}
	for _, v := range n.ItemsOf("certificates") {
		t.unique(seen, v, "certificate")
		tls.Certificates = append(tls.Certificates, mesh.FileRef{Name: v.Text, Span: v.Span})
	}
	if ca := n.Get("clientCA"); ca != nil {
		tls.ClientCA = &mesh.FileRef{Name: ca.Text, Span: ca.Span}
	}
	for _, v := range n.ItemsOf("clientNames") {
		tls.SubjectAltNames = append(tls.SubjectAltNames, mesh.StringMatch{Value: v.Text, Span: v.Span})
	}
	t.tlsMode(n, l, tls)
	if tls.MinVersion == "1.3" {
		if tls.MaxVersion == "1.2" {
			t.Wrong(t.At(n, "maxVersion"), "maxVersion 1.2 is below minVersion 1.3")
		}
		if f := n.Field("cipherSuites"); f != nil {
			t.Wrong(f.KeySpan, "cipherSuites are those of TLS 1.2, and minVersion is 1.3")
		}
	}
	l.TLS = tls
}

func (t *translator) tlsMode(n *load.Node, l *mesh.Listener, tls *mesh.ServerTLS) {
	mutual := tls.Mode == mesh.TLSMutual || tls.Mode == mesh.TLSOptionalMutual
	switch {
	case tls.Mode == mesh.TLSPassThrough && l.Protocol == mesh.ListenHTTPS:
		d := t.Wrong(t.At(n, "mode"), "mode passthrough opens nothing, and requests are within")
		d.Fix = &diag.Fix{Message: "write protocol: tls"}
	case tls.Mode == mesh.TLSPassThrough:
		for _, key := range []string{"certificates", "clientCA", "clientNames", "minVersion", "maxVersion", "cipherSuites"} {
			if f := n.Field(key); f != nil {
				t.Wrong(f.KeySpan, "%s has no meaning with mode passthrough: the destination speaks TLS", key)
			}
		}
	case n.Get("certificates") == nil && tls.Mode != "":
		t.Wrong(t.At(n, "mode"), "certificates are required with mode %s", tls.Mode)
	case mutual && tls.ClientCA == nil:
		t.Wrong(t.At(n, "mode"), "clientCA is required with mode %s: client certificates are held to it", tls.Mode)
	case tls.Mode == mesh.TLSTerminate:
		for _, key := range []string{"clientCA", "clientNames"} {
			if f := n.Field(key); f != nil {
				t.Wrong(f.KeySpan, "%s has no meaning with mode terminate, which asks for no certificate: write mutual or optional-mutual", key)
			}
		}
	}
}

// gatewayRoute reads a route for hosts at a gateway. Sidecars do not take it.
func (t *translator) gatewayRoute(spec *load.Node, route *mesh.Route) {
	n := spec.Get("gateway")
	ref := t.ref(n, "name")
	route.OffMesh = true
	route.Gateways = []mesh.GatewayRef{{Namespace: ref.Namespace, Name: ref.Name, Listener: n.TextOf("listener"), Span: n.Span}}
	seen := map[string]source.Span{}
	for _, v := range spec.ItemsOf("hosts") {
		t.unique(seen, v, "host")
		if v.Kind == load.String {
			route.Hosts = append(route.Hosts, mesh.HostName{Name: strings.ToLower(v.Text), Span: v.Span})
		}
	}
	if spec.TextOf("unmatched") == "service" {
		t.Wrong(t.At(spec, "unmatched"), "unmatched: service has no meaning at a gateway, whose route has no service of its own: write not-found")
	}
	for _, rule := range spec.ItemsOf("rules") {
		t.namesServices(rule)
		for _, m := range rule.ItemsOf("match") {
			if f := m.Field("from"); f != nil {
				t.Wrong(f.KeySpan, "from has no meaning at a gateway: who calls from outside has no identity of the mesh")
			}
		}
	}
}

// namesServices demands a destination of its own of every rule.
func (t *translator) namesServices(rule *load.Node) {
	if which(rule, "to", "redirect", "respond", "delegate") == "" {
		t.Wrong(t.At(rule, "name"), "rule %q needs to, redirect or respond: a route for a gateway has no service of its own", rule.TextOf("name"))
	}
	for _, to := range rule.ItemsOf("to") {
		if to.Get("service") == nil {
			t.Wrong(to.Span, "service is required: a route for a gateway has no service of its own")
		}
	}
	if m := rule.Get("mirror"); m != nil && m.Get("service") == nil {
		t.Wrong(m.Span, "service is required: a route for a gateway has no service of its own")
	}
}
