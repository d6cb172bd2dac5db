package linkerd

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

const (
	inboundPolicy = "config.linkerd.io/default-inbound-policy"
	opaquePorts   = "config.linkerd.io/opaque-ports"
)

// annotation says what becomes of one, and of which objects it is.
type annotation struct {
	of []string // "Namespace", "Service", "HTTPRoute", "GRPCRoute", "Pod" (a template's)
	// read is nil where warns or refuses says what to do instead.
	read    func(t *translator, v *load.Node, f *mesh.Fragment)
	warns   string
	refuses string
}

var annotations = map[string]annotation{
	inboundPolicy: {of: []string{"Namespace", "Pod"}, read: (*translator).inboundAnnotation},
	opaquePorts:   {of: []string{"Namespace", "Service", "Pod"}, read: (*translator).opaqueAnnotation},

	"config.linkerd.io/skip-inbound-ports": {of: []string{"Namespace", "Pod"},
		warns: "the ports go through the sidecar, which is stricter: write config.linkerd.io/opaque-ports, and a Server for who may call"},
	"config.linkerd.io/skip-outbound-ports": {of: []string{"Namespace", "Pod"},
		warns: "calls go through the sidecar: declare what is called outside the mesh with an ExternalService"},
	"config.linkerd.io/skip-subnets": {of: []string{"Namespace", "Pod"},
		warns: "calls go through the sidecar: declare what is called outside the mesh with an ExternalService"},
	"config.linkerd.io/proxy-require-identity-inbound-ports": {of: []string{"Namespace", "Pod"},
		refuses: "write a Server for the port, with accessPolicy: all-authenticated"},
	"config.linkerd.io/disable-identity": {of: []string{"Namespace", "Pod"},
		refuses: "remove it: every workload has an identity"},

	// Read together, by calls.
	retryHTTP: ofCalls("HTTPRoute"), retryGRPC: ofCalls("GRPCRoute"), retryLimit: ofCalls("HTTPRoute", "GRPCRoute"), retryTimeout: ofCalls("HTTPRoute", "GRPCRoute"),
	timeoutRequest: ofCalls("HTTPRoute", "GRPCRoute"), timeoutResponse: ofCalls("HTTPRoute", "GRPCRoute"), timeoutIdle: ofCalls("HTTPRoute", "GRPCRoute"),
	accrual: ofCalls(), accrualMax: ofCalls(), accrualMinimum: ofCalls(), accrualMaximum: ofCalls(), accrualJitter: ofCalls(),
}

// ofCalls are of Services and of some kinds of routes.
func ofCalls(routes ...string) annotation {
	return annotation{of: append([]string{"Service"}, routes...), read: func(*translator, *load.Node, *mesh.Fragment) {}}
}

// injectors are about how Linkerd's own proxy is put into a pod, which changes
// nothing about who may call whom. Prefixes end in "-".
var injectors = []string{
	"proxy-", "linkerd-", "init-", "debug-", "image-pull-policy", "control-port", "admin-port", "inbound-port", "outbound-port",
	"enable-external-profiles", "enable-debug-sidecar", "disable-tap", "trace-collector", "close-wait-timeout",
	"pod-inbound-ports", "shutdown-grace-period", "access-log", "native-sidecar",
}

// Annotate reads Linkerd's annotations of an object of Kubernetes, or of a route of the
// Gateway API, into the fragment that was made of it.
func Annotate(doc *load.Document, f *mesh.Fragment) diag.List {
	t := newTranslator(doc)
	written := doc.Root.At("metadata", "annotations")
	t.annotated(written, doc.Kind, f)
	if written != nil && written.Kind == load.Map {
		t.ofService(written, f)
		t.ofRoute(written, f)
	}
	if len(f.Workloads) > 0 {
		t.annotated(doc.Root.At("spec", "template", "metadata", "annotations"), "Pod", f)
	}
	return t.Diags
}

func (t *translator) annotated(n *load.Node, of string, f *mesh.Fragment) {
	if n == nil || n.Kind != load.Map {
		return
	}
	for _, entry := range n.Fields {
		group, name, _ := strings.Cut(entry.Key, "/")
		if !slices.Contains(annotationGroups, group) || entry.Value.Kind != load.String {
			continue
		}
		a, known := annotations[entry.Key]
		switch {
		case !known:
			t.unknownAnnotation(entry, group, name)
		case !slices.Contains(a.of, of):
			t.misplaced(entry, a, of)
		case a.read != nil:
			a.read(t, entry.Value, f)
		case a.warns != "":
			d := t.Add(translate.CodeUnsupported, diag.Warning, entry.KeySpan, "the annotation %s is not supported", entry.Key)
			d.SetFix(a.warns)
		default:
			d := t.Unsupported(entry.KeySpan, "the annotation %s is not supported", entry.Key)
			d.SetFix(a.refuses)
		}
	}
}

// annotationGroups are those whose annotations say how services talk.
var annotationGroups = []string{"config.linkerd.io", "retry.linkerd.io", "timeout.linkerd.io", "balancer.linkerd.io"}

func (t *translator) misplaced(entry load.Field, a annotation, of string) {
	place := strings.Join(a.of, ", ")
	d := t.Warn(entry.KeySpan, "the annotation %s has no effect on a %s: Linkerd reads it from %s", entry.Key, of, place)
	if slices.Contains(a.of, "Pod") {
		d.SetFix("write it under spec.template.metadata.annotations")
	}
}

// unknownAnnotation tells a misspelt name from those that are Linkerd's injector's.
func (t *translator) unknownAnnotation(entry load.Field, group, name string) {
	injector := group == "config.linkerd.io" && slices.ContainsFunc(injectors, func(known string) bool {
		return name == known || strings.HasSuffix(known, "-") && strings.HasPrefix(name, known)
	})
	if injector {
		return
	}
	var names []string
	for known := range annotations {
		names = append(names, known)
	}
	slices.Sort(names)
	d := t.Warn(entry.KeySpan, "the annotation %s is not one that we know: it has no effect", entry.Key)
	if near := load.Nearest(entry.Key, names); near != "" {
		d.SetFix("did you mean " + near + "?")
	}
}

func (t *translator) inboundAnnotation(v *load.Node, f *mesh.Fragment) {
	written := mesh.WrittenDefault{Value: t.inboundDefault(v, inboundPolicy), Span: v.Span}
	for _, w := range f.Workloads {
		w.Inbound = written
	}
	for _, ns := range f.Namespaces {
		ns.Inbound = written
	}
}

// opaqueAnnotation: on a Service the ports are the Service's, on workloads those on
// which they listen.
func (t *translator) opaqueAnnotation(v *load.Node, f *mesh.Fragment) {
	ranges := t.portRanges(v)
	for _, w := range f.Workloads {
		w.Opaque = ranges
	}
	for _, ns := range f.Namespaces {
		ns.Opaque = ranges
	}
	for _, s := range f.Services {
		for i := range s.Ports {
			if mesh.InRanges(ranges, s.Ports[i].Number) {
				s.Ports[i].Protocol = mesh.TCP
			}
		}
	}
}

// portRanges reads "25,8000-8010".
func (t *translator) portRanges(v *load.Node) []mesh.PortRange {
	out := []mesh.PortRange{} // an empty list takes back what the namespace says
	for part := range strings.SplitSeq(v.Text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		first, last, ok := numbers(part, portNumber)
		if !ok {
			t.Wrong(v.Span, "%q is no port or range of ports: write them as 25,8000-8010", part)
			continue
		}
		out = append(out, mesh.PortRange{First: first, Last: last})
	}
	return out
}
