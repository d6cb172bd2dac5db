package native

import (
	"strings"
	"unicode"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// providers reads the collectors and rate-limit services of the mesh.
func (t *translator) providers(n *load.Node, s *mesh.Settings) {
	t.refuse(n, "authorizers", "")
	s.Limiters = t.limiters(n)
	for _, item := range n.ItemsOf("telemetry") {
		c := mesh.Collector{
			Name:    item.TextOf("name"),
			Type:    mesh.CollectorType(item.TextOf("type")),
			Service: t.ref(item, which(item, "service", "externalService")),
			Port:    port(item, "port"),
			PortAt:  t.At(item, "port"),
			Span:    t.At(item, "name"),
		}
		if c.Name == mesh.StandardOutput {
			t.Wrong(c.Span, "provider stdout is the proxy's own standard output: give the collector another name")
		}
		s.Collectors = append(s.Collectors, c)
	}
}

func (t *translator) telemetryPolicy(spec *load.Node) {
	p := &mesh.Telemetry{Origin: t.Origin, Target: t.target(spec)}
	if n := spec.Get("accessLog"); n != nil {
		p.Logs = []mesh.AccessLogging{t.accessLog(n)}
	}
	if n := spec.Get("tracing"); n != nil {
		p.Tracing = []mesh.Tracing{t.tracing(n)}
	}
	t.out.Telemetries = []*mesh.Telemetry{p}
}

func (t *translator) accessLog(n *load.Node) mesh.AccessLogging {
	t.aloneWhenDisabled(n)
	log := mesh.AccessLogging{
		Disabled: n.IsTrue("disabled"),
		Format:   mesh.LogFormat(n.TextOf("format")),
		Span:     n.Span,
	}
	seen := map[string]source.Span{}
	stdout := n.Get("providers") == nil
	for _, v := range n.ItemsOf("providers") {
		t.unique(seen, v, "provider")
		stdout = stdout || v.Text == mesh.StandardOutput
		log.Providers = append(log.Providers, mesh.ProviderRef{Name: v.Text, Span: v.Span})
	}
	if f := n.Field("format"); f != nil && !stdout {
		t.Wrong(f.KeySpan, "format has no meaning without standard output: a collector takes fields")
	}
	if filter := n.Get("filter"); filter != nil {
		log.Filter = mesh.LogFilter{ErrorsOnly: filter.IsTrue("errorsOnly"), Percent: t.sampling(filter)}
		if p := log.Filter.Percent; p != nil && *p == 0 {
			d := t.Wrong(t.At(filter, "percent"), "percent 0 would log nothing")
			d.Fix = &diag.Fix{Message: "write disabled: true instead of the filter"}
		}
	}
	return log
}

// aloneWhenDisabled reports what has no meaning beside disabled.
func (t *translator) aloneWhenDisabled(n *load.Node) {
	if n.Get("disabled") == nil {
		return
	}
	for _, f := range n.Entries() {
		if f.Key != "disabled" {
			t.Wrong(f.KeySpan, "%s has no meaning beside disabled", f.Key)
		}
	}
}

func (t *translator) tracing(n *load.Node) mesh.Tracing {
	t.aloneWhenDisabled(n)
	disabled := n.IsTrue("disabled")
	out := mesh.Tracing{
		Disabled:    &disabled,
		Percent:     t.sampling(n),
		HasTags:     true,
		Propagation: mesh.Propagation(n.TextOf("propagation")),
		At:          t.At(n, "propagation"),
		Span:        n.Span,
	}
	if v := n.Get("provider"); v != nil {
		out.Provider = &mesh.ProviderRef{Name: v.Text, Span: v.Span}
	}
	for _, item := range n.ItemsOf("tags") {
		out.Tags = append(out.Tags, t.tag(item))
	}
	return out
}

// sampling reads a percentage; Envoy counts in ten-thousandths of one.
func (t *translator) sampling(n *load.Node) *float64 {
	p := share(n, "percent")
	if p != nil && *p > 0 && *p < 0.0001 {
		t.Wrong(t.At(n, "percent"), "percent %v is less than Envoy can count: write 0.0001 or more", *p)
	}
	return p
}

func (t *translator) tag(n *load.Node) mesh.TracingTag {
	tag := mesh.TracingTag{Name: n.TextOf("name"), Literal: n.TextOf("literal")}
	header := n.Get("header")
	tag.Header, tag.Default = header.TextOf("name"), header.TextOf("default")
	for _, v := range []*load.Node{n.Get("name"), n.Get("literal"), header.Get("default")} {
		if v != nil && strings.ContainsFunc(v.Text, unicode.IsControl) {
			t.Wrong(v.Span, "%q has a control character", v.Text)
		}
	}
	return tag
}
