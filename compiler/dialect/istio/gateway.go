package istio

import (
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// gateway reads a Gateway: servers on the proxies of the pods that the selector
// names, in every namespace.
func (t *translator) gateway(spec *load.Node) {
	g := &mesh.Gateway{Origin: t.Origin, Selector: labels(spec.Get("selector")), WorkloadAt: t.At(spec, "selector"), AnyNamespace: true}
	if len(g.Selector) == 0 {
		d := t.Wrong(t.At(spec, "selector"), "the Gateway has no selector: it would be for every proxy")
		d.SetFix("write selector with the labels of the gateway's pods")
	}
	if len(spec.ItemsOf("servers")) == 0 {
		t.Wrong(t.At(spec, "servers"), "the Gateway has no servers")
	}
	taken := map[string]bool{}
	for i, n := range spec.ItemsOf("servers") {
		l := t.server(n)
		l.Name = n.TextOf("name")
		if l.Name == "" || taken[l.Name] {
			l.Name = "#" + strconv.Itoa(i+1)
		}
		taken[l.Name] = true
		g.Listeners = append(g.Listeners, l)
	}
	t.out.Gateways = []*mesh.Gateway{g}
}

func (t *translator) server(n *load.Node) *mesh.Listener {
	port := n.Get("port")
	l := &mesh.Listener{
		Port: t.port(port, "number"), PortAt: t.At(port, "number"), AnyNamespace: true, Span: n.Span,
	}
	if l.Port == 0 {
		t.Wrong(t.At(n, "port"), "the server has no port")
	}
	tls := n.Get("tls")
	l.Protocol = t.serverProtocol(n, port, tls)
	if tls.IsTrue("httpsRedirect") {
		l.RedirectToHTTPS = l.Protocol == mesh.ListenHTTP
		if !l.RedirectToHTTPS {
			t.Wrong(t.At(tls, "httpsRedirect"), "httpsRedirect is for servers of protocol HTTP, whose requests it answers")
		}
	}
	t.serverHosts(n, l)
	if l.Protocol.IsTLS() {
		l.TLS = t.serverTLS(n, tls, l)
	}
	return l
}

// serverProtocol decides what clients speak: Istio's port protocol says it together
// with tls (gateway.go, IsTLSServer).
func (t *translator) serverProtocol(n, port, tls *load.Node) mesh.ListenerProtocol {
	mode := tls.TextOf("mode")
	secured := tls != nil && (mode != "" || len(tls.Fields) > 1 || !tls.IsTrue("httpsRedirect"))
	name := strings.ToUpper(port.TextOf("protocol"))
	switch name {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
		if secured {
			d := t.Wrong(t.At(n, "tls"), "tls has no effect with protocol %s: Istio would serve the port without TLS", port.TextOf("protocol"))
			d.SetFix("write protocol: HTTPS")
		}
		return mesh.ListenHTTP
	case "HTTPS":
		if mode == "PASSTHROUGH" {
			return mesh.ListenTLS
		}
		return mesh.ListenHTTPS
	case "TLS":
		return mesh.ListenTLS
	case "TCP":
		if secured {
			return mesh.ListenTLS
		}
		return mesh.ListenTCP
	case "MONGO":
		t.Unsupported(t.At(port, "protocol"), "protocol MONGO is not supported").SetFix("write TCP")
		return mesh.ListenTCP
	}
	t.Wrong(t.At(port, "protocol"), "protocol %q: want HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, TCP or TLS", port.TextOf("protocol"))
	return mesh.ListenTCP
}

// serverHosts reads "host" and "namespace/host", whose namespace says whose routes
// the host takes.
func (t *translator) serverHosts(n *load.Node, l *mesh.Listener) {
	list := n.TextsOf("hosts")
	if len(list) == 0 {
		t.Wrong(t.At(n, "hosts"), "the server has no hosts")
	}
	for _, v := range list {
		namespace, host, found := strings.Cut(v.Text, "/")
		h := mesh.ListenerHost{Name: strings.ToLower(host), Span: v.Span}
		if !found {
			namespace, h.Name = "*", strings.ToLower(v.Text)
		}
		switch {
		case namespace == ".":
			h.RoutesFrom = []string{t.Namespace}
		case namespace != "*" && translate.IsLabel(namespace):
			h.RoutesFrom = []string{namespace}
		case namespace != "*" && !translate.Placeholder(namespace):
			t.Wrong(v.Span, "host %q: want a namespace, . for this one or * for all before the /", v.Text)
		}
		name := *v
		name.Text = v.Text[len(v.Text)-len(h.Name):] // as it is written
		if !t.hostName(&name) || slices.ContainsFunc(l.Hosts, func(o mesh.ListenerHost) bool { return o.Name == h.Name }) {
			continue
		}
		l.Hosts = append(l.Hosts, h)
	}
	if l.Protocol == mesh.ListenTCP {
		l.Hosts = nil // connections name none, whatever is written: examples write "*"
	}
}

var serverModes = map[string]mesh.TLSTermination{
	"": mesh.TLSTerminate, "SIMPLE": mesh.TLSTerminate, "MUTUAL": mesh.TLSMutual,
	"OPTIONAL_MUTUAL": mesh.TLSOptionalMutual, "PASSTHROUGH": mesh.TLSPassThrough,
}

var tlsVersions = map[string]string{"": "", "TLS_AUTO": "", "TLSV1_2": "1.2", "TLSV1_3": "1.3"}

func (t *translator) serverTLS(server, n *load.Node, l *mesh.Listener) *mesh.ServerTLS {
	if n == nil {
		t.Wrong(t.At(server, "port"), "the server has protocol %s and no tls", server.Get("port").TextOf("protocol"))
		return &mesh.ServerTLS{Mode: mesh.TLSPassThrough, Span: server.Span}
	}
	mode, ok := serverModes[n.TextOf("mode")]
	if !ok {
		t.Unsupported(t.At(n, "mode"), "tls mode %s is not supported: write SIMPLE, MUTUAL, OPTIONAL_MUTUAL or PASSTHROUGH", n.TextOf("mode"))
		mode = mesh.TLSPassThrough
	}
	out := &mesh.ServerTLS{Mode: mode, Span: n.Span, CipherSuites: t.cipherSuites(n)}
	if mode == mesh.TLSPassThrough {
		return out
	}
	out.MinVersion, out.MaxVersion = t.tlsVersion(n, "minProtocolVersion"), t.tlsVersion(n, "maxProtocolVersion")
	t.Exclusive(n, "credentialName", "credentialNames", "they name the same")
	for _, v := range slices.Concat([]*load.Node{n.Get("credentialName")}, n.TextsOf("credentialNames")) {
		if v != nil && v.Text != "" {
			out.Certificates = append(out.Certificates, t.fileRef(v))
		}
	}
	if len(out.Certificates) == 0 {
		d := t.Wrong(t.At(n, "mode"), "tls mode %s has no credentialName", n.TextOf("mode"))
		d.SetFix("write credentialName: the directory with tls.crt and tls.key beside the gateway's agent")
	}
	if mode == mesh.TLSTerminate {
		if f := n.Field("subjectAltNames"); f != nil && len(f.Value.Items) > 0 {
			t.Wrong(f.KeySpan, "subjectAltNames have no effect without mode MUTUAL: no client is asked for a certificate")
		}
		return out
	}
	// Of the secret's own ca.crt, unless another is named.
	if len(out.Certificates) > 0 {
		own := out.Certificates[0]
		out.ClientCA = &own
	}
	if v := n.Get("caCertCredentialName"); v != nil && v.Text != "" {
		ca := t.fileRef(v)
		out.ClientCA = &ca
	}
	for _, v := range n.TextsOf("subjectAltNames") {
		out.SubjectAltNames = append(out.SubjectAltNames, mesh.StringMatch{Value: v.Text, Span: v.Span})
	}
	return out
}

// fileRef is the name of a secret, which is a directory beside the agent here.
func (t *translator) fileRef(v *load.Node) mesh.FileRef {
	name := strings.TrimPrefix(v.Text, "kubernetes://")
	for label := range strings.SplitSeq(name, ".") {
		if !translate.IsLabel(label) && !translate.Placeholder(name) {
			t.Wrong(v.Span, "credential %q: want the name of a secret, which is a directory beside the gateway's agent", v.Text)
			break
		}
	}
	return mesh.FileRef{Name: name, Span: v.Span}
}

func (t *translator) tlsVersion(n *load.Node, key string) string {
	version, ok := tlsVersions[n.TextOf(key)]
	if !ok {
		t.Unsupported(t.At(n, key), "%s %s is broken and not supported", key, n.TextOf(key)).SetFix("write TLSV1_2 or TLSV1_3")
	}
	return version
}

// suites of TLS 1.2 that Istio's documentation lists and Envoy takes; DES is broken.
var suites = strings.Fields(`ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384
	ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 ECDHE-RSA-CHACHA20-POLY1305 ECDHE-ECDSA-AES128-SHA
	ECDHE-RSA-AES128-SHA ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES256-SHA AES128-GCM-SHA256 AES256-GCM-SHA384 AES128-SHA AES256-SHA`)

func (t *translator) cipherSuites(n *load.Node) (out []string) {
	for _, v := range n.TextsOf("cipherSuites") {
		if !slices.Contains(suites, v.Text) {
			d := t.Wrong(v.Span, "cipher suite %q is none that is supported", v.Text)
			if near := load.Nearest(v.Text, suites); near != "" {
				d.Fix = &diag.Fix{Message: "did you mean " + near + "?"}
			}
			continue
		}
		if !slices.Contains(out, v.Text) {
			out = append(out, v.Text)
		}
	}
	return out
}
