package linkerd

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// protocols by Linkerd's names of proxyProtocol. unknown is detected by Linkerd's
// proxy; here the service's port says it.
var protocols = map[string]mesh.Protocol{
	"": "", "unknown": "",
	"HTTP/1": mesh.HTTP, "HTTP/2": mesh.HTTP2, "gRPC": mesh.GRPC, "opaque": mesh.TCP, "TLS": mesh.TLS,
}

// defaults are the values of accessPolicy and of the annotation
// config.linkerd.io/default-inbound-policy.
var defaults = []mesh.InboundDefault{
	mesh.InboundAllUnauthenticated, mesh.InboundAllAuthenticated,
	mesh.InboundClusterUnauthenticated, mesh.InboundClusterAuthenticated, mesh.InboundDeny, mesh.InboundAudit,
}

func (t *translator) server(spec *load.Node) {
	s := &mesh.Server{
		Origin: t.Origin, Labels: labels(t.Doc.Root.At("metadata", "labels")),
		PortAt: t.At(spec, "port"), ProtocolAt: t.At(spec, "proxyProtocol"), DefaultAt: t.At(spec, "accessPolicy"), Span: t.At(spec, "podSelector"),
	}
	if spec.Get("podSelector") == nil && spec.Get("externalWorkloadSelector") == nil {
		d := t.Wrong(spec.Span, "the Server selects nothing: podSelector is missing")
		d.SetFix("write podSelector: {} for every pod of the namespace")
	}
	s.Workloads = t.selector(spec.Get("podSelector"))
	ok := t.serverPort(spec, s)
	name := spec.TextOf("proxyProtocol")
	protocol, known := protocols[name]
	if !known {
		t.Wrong(s.ProtocolAt, "proxyProtocol %q: want one of unknown, HTTP/1, HTTP/2, gRPC, opaque, TLS", name)
	}
	s.Protocol = protocol
	if v := spec.Get("accessPolicy"); v != nil && v.Kind == load.String {
		s.Default = t.inboundDefault(v, "accessPolicy")
	}
	if ok && spec.Get("podSelector") != nil {
		t.out.Servers = []*mesh.Server{s}
	}
}

func (t *translator) serverPort(spec *load.Node, s *mesh.Server) bool {
	v := spec.Get("port")
	if v == nil || v.Kind != load.Int && v.Kind != load.String {
		return false
	}
	if number, ok := portNumber(v.Text); ok {
		s.Port = number
		return true
	}
	if v.Kind == load.Int || !translate.IsLabel(v.Text) || len(v.Text) > 15 {
		if !translate.Placeholder(v.Text) {
			t.Wrong(v.Span, "port %q: want 1 to 65535, or the name of a container's port", v.Text)
		}
		return false
	}
	s.PortName = v.Text
	return true
}

// inboundDefault reads whom a port lets in by default; a wrong value is nobody.
func (t *translator) inboundDefault(v *load.Node, key string) mesh.InboundDefault {
	if value := mesh.InboundDefault(v.Text); slices.Contains(defaults, value) {
		return value
	}
	var names []string
	for _, d := range defaults {
		names = append(names, string(d))
	}
	t.Wrong(v.Span, "%s %q: want one of %s", key, v.Text, strings.Join(names, ", "))
	return mesh.InboundDeny
}
