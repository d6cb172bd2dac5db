package istio

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Providers that Istio has without being told of them (pilot/pkg/model, MeshConfig's
// default extensionProviders).
const (
	envoyProvider      = "envoy" // standard output
	prometheusProvider = "prometheus"
)

// sides by Istio's WorkloadMode.
var sides = map[string]mesh.Side{
	telemetry.WorkloadMode_CLIENT.String(): mesh.ClientSide,
	telemetry.WorkloadMode_SERVER.String(): mesh.ServerSide,
}

func (t *translator) telemetry(spec *load.Node) {
	p := &mesh.Telemetry{Origin: t.Origin, Target: t.target(spec)}
	// In the root namespace a selector is about the workloads of that namespace
	// (pilot/pkg/model/telemetry.go, applicableTelemetries).
	p.Target.MeshWide = p.Target.MeshWide && p.Target.Selector == nil
	for _, n := range spec.ItemsOf("accessLogging") {
		p.Logs = append(p.Logs, t.accessLogging(n))
	}
	for _, n := range spec.ItemsOf("tracing") {
		p.Tracing = append(p.Tracing, t.tracing(n))
	}
	for _, n := range spec.ItemsOf("metrics") {
		t.onlyPrometheus(n)
	}
	t.out.Telemetries = []*mesh.Telemetry{p}
}

// onlyPrometheus: every proxy keeps metrics, which Prometheus scrapes.
func (t *translator) onlyPrometheus(n *load.Node) {
	for _, p := range t.providers(n) {
		if p.Name != prometheusProvider {
			d := t.Unsupported(p.Span, "provider %s of metrics is not supported", p.Name)
			d.SetFix("write prometheus: it scrapes the agents")
		}
	}
}

func (t *translator) providers(n *load.Node) (out []mesh.ProviderRef) {
	for _, item := range n.ItemsOf("providers") {
		ref := mesh.ProviderRef{Name: item.TextOf("name"), Span: t.At(item, "name")}
		if ref.Name == "" {
			t.Wrong(item.Span, "a provider has no name")
			continue
		}
		out = append(out, ref)
	}
	return out
}

func (t *translator) accessLogging(n *load.Node) mesh.AccessLogging {
	log := mesh.AccessLogging{
		Side:      sides[n.Get("match").TextOf("mode")],
		Providers: t.providers(n),
		Disabled:  n.IsTrue("disabled"),
		Filter:    mesh.LogFilter{MinStatus: t.minStatus(n.Get("filter"))},
		Span:      n.Span,
	}
	for i := range log.Providers {
		if log.Providers[i].Name == envoyProvider {
			log.Providers[i].Name = mesh.StandardOutput
		}
	}
	return log
}

// fromStatus is the one expression that Envoy's status filter says as well.
var fromStatus = regexp.MustCompile(`^\s*response\.code\s*(>=?)\s*([1-9][0-9]{2})\s*$`)

// minStatus reads a filter; 0 logs everything.
func (t *translator) minStatus(filter *load.Node) uint32 {
	text := filter.TextOf("expression")
	if text == "" {
		return 0
	}
	found := fromStatus.FindStringSubmatch(text)
	if found == nil {
		d := t.Unsupported(t.At(filter, "expression"), "expression %q is not supported", text)
		d.SetFix("write response.code >= 400, or another status")
		return 0
	}
	status, err := strconv.ParseUint(found[2], 10, 32)
	if err != nil {
		return 0 // three digits
	}
	if found[1] == ">" {
		status++
	}
	return uint32(status)
}

func (t *translator) tracing(n *load.Node) mesh.Tracing {
	out := mesh.Tracing{Side: sides[n.Get("match").TextOf("mode")], Span: n.Span, HasTags: n.Get("customTags") != nil}
	providers := t.providers(n)
	if len(providers) > 0 {
		out.Provider = &providers[0]
	}
	if len(providers) > 1 {
		t.Wrong(providers[1].Span, "tracing has a second provider: Istio takes one")
	}
	if n.Get("disableSpanReporting") != nil {
		disabled := n.IsTrue("disableSpanReporting")
		out.Disabled = &disabled
		if disabled {
			t.Warn(t.At(n, "disableSpanReporting"), "disableSpanReporting switches tracing off: these proxies begin no trace either, and pass on what applications write")
		}
	}
	if percent, ok := t.percent(n, "randomSamplingPercentage"); ok {
		if percent > 0 && percent < 0.0001 { // Envoy counts in ten-thousandths of a percent
			t.Wrong(t.At(n, "randomSamplingPercentage"), "randomSamplingPercentage is %v: want 0, or 0.0001 or more", percent)
		}
		out.Percent = &percent
	}
	for _, key := range []string{"useRequestIdForTraceSampling", "enableIstioTags"} {
		if isFalse(n, key) {
			d := t.Unsupported(t.At(n, key), "%s: false is not supported", key)
			d.SetFix("remove it: it says nothing about the proxies that we configure")
		}
	}
	for _, f := range n.Get("customTags").Entries() {
		out.Tags = append(out.Tags, t.tag(f))
	}
	return out
}

// tag reads a tag; Envoy's CustomTag wants a name, and a literal or a header that is one.
func (t *translator) tag(f load.Field) mesh.TracingTag {
	literal, header := f.Value.Get("literal"), f.Value.Get("header")
	tag := mesh.TracingTag{
		Name: f.Key, Literal: literal.TextOf("value"),
		Header: header.TextOf("name"), Default: header.TextOf("defaultValue"),
	}
	switch {
	case f.Key == "":
		t.Wrong(f.KeySpan, "a tag has no name")
	case header != nil && !translate.Token(tag.Header):
		t.Wrong(f.Value.Nearest("header", "name"), "tag %s: %q is no header's name", f.Key, tag.Header)
	case header == nil && tag.Literal == "" && (literal != nil || len(f.Value.Entries()) == 0):
		t.Wrong(f.KeySpan, "tag %s has no value: write literal or header", f.Key)
	}
	for _, text := range []string{f.Key, tag.Literal, tag.Default} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			t.Wrong(f.KeySpan, "tag %q: %q has a control character", f.Key, text)
		}
	}
	return tag
}
