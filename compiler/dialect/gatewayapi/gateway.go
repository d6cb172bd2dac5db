package gatewayapi

import (
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// gatewayClass says whose gateways are. What another controller's class says besides
// is its own.
func (t *translator) gatewayClass(spec *load.Node) {
	class := &mesh.GatewayClass{Origin: t.Origin, Controller: spec.TextOf("controllerName")}
	if f := spec.Field("parametersRef"); f != nil && class.Controller == mesh.GatewayController {
		d := t.Unsupported(f.KeySpan, "field parametersRef is not supported")
		d.SetFix("leave it out: a Gateway says everything")
	}
	_ = spec.TextOf("description") // for people
	t.out.GatewayClasses = []*mesh.GatewayClass{class}
}

// gateway reads a Gateway. The pods that serve it are its operator's and carry the
// label that GEP-1762 gives them.
func (t *translator) gateway(spec *load.Node) {
	g := &mesh.Gateway{
		Origin: t.Origin, Selector: map[string]string{mesh.GatewayNameLabel: t.Origin.Name},
		WorkloadAt: t.At(t.Doc.Root.Get("metadata"), "name"),
		Class:      spec.TextOf("gatewayClassName"), ClassAt: t.At(spec, "gatewayClassName"),
	}
	t.servedIn = t.Namespace
	g.Listeners = t.listeners(spec)
	g.Sets = t.allowedListeners(spec.Get("allowedListeners").Get("namespaces"))
	t.ineffective(spec, "addresses", fields["GatewaySpec"].warns["addresses"])
	for _, key := range []string{"labels", "annotations", "parametersRef"} {
		t.ineffective(spec.Get("infrastructure"), key, fields["GatewayInfrastructure"].warns[key])
	}
	t.out.Gateways = []*mesh.Gateway{g}
}

// listeners reads those of a Gateway or ListenerSet.
func (t *translator) listeners(spec *load.Node) (out []*mesh.Listener) {
	names := map[string]source.Span{}
	for _, n := range spec.ItemsOf("listeners") {
		before := len(t.Diags)
		l := t.listener(n)
		for i := before; i < len(t.Diags); i++ {
			t.Diags[i].Section = l.Name
		}
		if t.unique(names, l.Name, t.At(n, "name"), "listener "+l.Name) {
			out = append(out, l)
		}
	}
	if len(spec.ItemsOf("listeners")) == 0 {
		t.Wrong(t.At(spec, "listeners"), "the %s has no listeners", t.Kind)
	}
	return out
}

// ineffective warns of a field that changes nothing here. A gateway of another
// controller may have it, which is why it is no error.
func (t *translator) ineffective(n *load.Node, key, why string) {
	if f := n.Field(key); f != nil && len(f.Value.Fields)+len(f.Value.Items) > 0 {
		t.Warn(f.KeySpan, "%s has no effect: %s", key, why)
	}
}

// protocols of listeners, with the kinds of routes that they may take.
var protocols = map[string]struct {
	is    mesh.ListenerProtocol
	takes []string
}{
	"HTTP":  {mesh.ListenHTTP, []string{"HTTPRoute", "GRPCRoute"}},
	"HTTPS": {mesh.ListenHTTPS, []string{"HTTPRoute", "GRPCRoute"}},
	"TLS":   {mesh.ListenTLS, []string{"TLSRoute", "TCPRoute"}},
	"TCP":   {mesh.ListenTCP, []string{"TCPRoute"}},
}

func (t *translator) listener(n *load.Node) *mesh.Listener {
	l := &mesh.Listener{Name: n.TextOf("name"), Port: t.port(n, "port"), PortAt: t.At(n, "port"), Span: n.Span}
	protocol, known := protocols[n.TextOf("protocol")]
	if !known && n.Get("protocol") != nil {
		d := t.Unsupported(t.At(n, "protocol"), "protocol %s is not supported", n.TextOf("protocol"))
		d.Reason = string(gateway.ListenerReasonUnsupportedProtocol)
		d.SetFix("write HTTP, HTTPS, TLS or TCP")
		protocol = protocols["TCP"]
		protocol.takes = []string{}
	}
	l.Protocol = protocol.is
	if v := n.Get("hostname"); v != nil && v.Kind == load.String && v.Text != "" {
		if l.Protocol == mesh.ListenTCP {
			d := t.Wrong(v.Span, "hostname has no meaning for protocol %s, whose connections name none", n.TextOf("protocol"))
			d.SetFix("leave it out")
		} else {
			l.Hosts = []mesh.ListenerHost{{Name: strings.ToLower(v.Text), Span: v.Span}}
		}
	}
	t.listenerTLS(n, l)
	takes := protocol.takes
	if l.TLS != nil && l.TLS.Mode == mesh.TLSPassThrough {
		takes = []string{"TLSRoute"} // a TCPRoute names no hosts (TLSModePassthrough)
	}
	t.allowedRoutes(n.Get("allowedRoutes"), l, takes)
	return l
}

// listenerTLS reads tls, which is for HTTPS and TLS alone.
func (t *translator) listenerTLS(n *load.Node, l *mesh.Listener) {
	tls := n.Get("tls")
	switch {
	case !l.Protocol.IsTLS() && tls != nil:
		d := t.Wrong(n.Field("tls").KeySpan, "tls has no meaning for protocol %s", n.TextOf("protocol"))
		d.SetFix("leave it out, or write protocol: HTTPS")
	case !l.Protocol.IsTLS():
	case tls == nil:
		t.Wrong(t.At(n, "protocol"), "a listener of protocol %s needs tls", n.TextOf("protocol"))
		l.TLS = &mesh.ServerTLS{Mode: mesh.TLSPassThrough, Span: n.Span}
	default:
		l.TLS = t.serverTLS(tls, l)
	}
}

func (t *translator) serverTLS(n *load.Node, l *mesh.Listener) *mesh.ServerTLS {
	out := &mesh.ServerTLS{Mode: mesh.TLSTerminate, Span: n.Span}
	passes := t.choice(n, "mode", "Terminate", "Passthrough") == "Passthrough"
	switch refs := n.Field("certificateRefs"); {
	case passes && l.Protocol == mesh.ListenHTTPS:
		d := t.Wrong(t.At(n, "mode"), "mode Passthrough has no meaning for protocol HTTPS, whose requests are seen")
		d.SetFix("write protocol: TLS, and a TLSRoute")
	case passes && refs != nil && len(refs.Value.Items) > 0:
		d := t.Wrong(refs.KeySpan, "certificateRefs have no meaning with mode Passthrough, which opens nothing")
		d.SetFix("leave them out")
	case !passes && len(n.ItemsOf("certificateRefs")) == 0 && n.Get("options") == nil:
		d := t.Wrong(n.Span, "mode Terminate has no certificateRefs")
		d.SetFix("write certificateRefs: [{name: ...}], the directory with tls.crt and tls.key beside the gateway's agent")
	}
	if passes {
		out.Mode = mesh.TLSPassThrough
		return out
	}
	for _, ref := range n.ItemsOf("certificateRefs") {
		if file, ok := t.certificate(ref); ok {
			out.Certificates = append(out.Certificates, file)
		}
	}
	return out
}

// certificate reads the name of a Secret, which is a directory beside the gateway's
// agent: a release has no secrets, and reads none.
func (t *translator) certificate(n *load.Node) (mesh.FileRef, bool) {
	groupName, kind := textOr(n, "group", ""), textOr(n, "kind", "Secret")
	if !core(groupName) || kind != "Secret" {
		d := t.Unsupported(t.At(n, "kind"), "certificate of kind %s (%s) is not supported", kind, orCore(groupName))
		d.Reason = string(gateway.ListenerReasonInvalidCertificateRef)
		d.SetFix("name a Secret, which is a directory beside the gateway's agent")
		return mesh.FileRef{}, false
	}
	if t.Namespace != t.servedIn {
		d := t.Unsupported(t.At(n, "name"), "a certificate of a ListenerSet in another namespace than its Gateway is not supported: the files beside the gateway's agent are the Gateway's")
		d.Reason = string(gateway.ListenerReasonRefNotPermitted)
		d.SetFix("write the listener into the Gateway, or a ListenerSet in its namespace")
		return mesh.FileRef{}, false
	}
	if namespace := textOr(n, "namespace", t.Namespace); namespace != t.Namespace && !translate.Placeholder(namespace) {
		d := t.Unsupported(t.At(n, "namespace"), "certificate of another namespace (%s) is not supported: certificates are files beside the gateway's agent", namespace)
		d.Reason = string(gateway.ListenerReasonRefNotPermitted)
		d.SetFix("put the files there, and leave out namespace")
		return mesh.FileRef{}, false
	}
	return mesh.FileRef{Name: n.TextOf("name"), Span: t.At(n, "name")}, n.Get("name") != nil
}

// allowedRoutes reads whose routes a listener takes, and of which kinds.
func (t *translator) allowedRoutes(n *load.Node, l *mesh.Listener, takes []string) {
	namespaces := n.Get("namespaces")
	selector := namespaces.Get("selector")
	switch from := t.choice(namespaces, "from", "Same", "All", "Selector"); {
	case from == "All":
		l.AnyNamespace = true
	case from == "Selector" && selector == nil:
		d := t.Wrong(t.At(namespaces, "from"), "from Selector has no selector: no route would be taken")
		d.SetFix("write selector with labels of namespaces")
		l.RoutesFrom = []string{}
	case from == "Selector":
		s := t.selector(selector)
		l.RoutesFromLabels = &s
	}
	if selector != nil && l.RoutesFromLabels == nil {
		d := t.Wrong(namespaces.Field("selector").KeySpan, "selector has no effect without from: Selector")
		d.SetFix("write from: Selector")
	}
	l.RouteKinds = takes
	kinds := n.ItemsOf("kinds")
	if len(kinds) == 0 || len(takes) == 0 { // none: the protocol is at fault already
		return
	}
	l.RouteKinds = []string{}
	for _, k := range kinds {
		name := k.TextOf("kind")
		if textOr(k, "group", group) != group || !slices.Contains(takes, name) {
			d := t.Wrong(t.At(k, "kind"), "a listener of this protocol takes no routes of kind %s: want %s", name, strings.Join(takes, " or "))
			d.Reason = string(gateway.ListenerReasonInvalidRouteKinds)
			d.SetFix("leave it out, or give the listener another protocol")
			continue
		}
		l.RouteKinds = append(l.RouteKinds, name)
	}
}

// selector reads Kubernetes' LabelSelector.
func (t *translator) selector(n *load.Node) mesh.LabelSelector {
	var out mesh.LabelSelector
	if labels := n.Get("matchLabels"); labels != nil {
		out.Labels = map[string]string{}
		for i := range labels.Fields {
			out.Labels[labels.Fields[i].Key] = labels.Fields[i].Value.Text
		}
	}
	for _, item := range n.ItemsOf("matchExpressions") {
		e := mesh.LabelExpression{Key: item.TextOf("key"), Operator: t.choice(item, "operator", "In", "NotIn", "Exists", "DoesNotExist")}
		for _, v := range item.TextsOf("values") {
			e.Values = append(e.Values, v.Text)
		}
		if asks := e.Operator == "In" || e.Operator == "NotIn"; asks != (len(e.Values) > 0) {
			t.Wrong(item.Span, "operator %s: In and NotIn need values, and others take none", e.Operator)
		}
		out.Expressions = append(out.Expressions, e)
	}
	return out
}
