package istio

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (t *translator) destinationRule(spec *load.Node) {
	policy := spec.Get("trafficPolicy")
	p := &mesh.TrafficPolicy{
		Origin:          t.Origin,
		TrafficSettings: t.trafficSettings(policy),
		Ports:           t.portPolicies(policy),
	}
	t.exportedToAll(spec)
	host := spec.Get("host")
	switch {
	case host == nil || host.Kind != load.String || host.Text == "":
		t.Wrong(t.At(spec, "host"), "the DestinationRule has no host")
		return
	case strings.HasPrefix(host.Text, "*"):
		d := t.Unsupported(host.Span, "host %q: a DestinationRule for many hosts is not supported", host.Text)
		d.SetFix("write one DestinationRule for each service; mutual TLS within the mesh needs none")
		return
	case !t.hostName(host):
		return
	}
	p.Target = t.ref(host)
	seen := map[string]source.Span{}
	for _, n := range spec.ItemsOf("subsets") {
		p.Versions = append(p.Versions, t.subset(n, seen))
	}
	t.out.TrafficPolicies = []*mesh.TrafficPolicy{p}
}

// exportedToAll refuses what only some namespaces are to see: a service's settings are
// those of all its clients.
func (t *translator) exportedToAll(spec *load.Node) {
	for _, namespace := range t.exportTo(spec) {
		if namespace != "*" {
			d := t.Unsupported(t.At(spec, "exportTo"), "exportTo of a DestinationRule other than * is not supported: its settings would hold for clients of all namespaces")
			d.SetFix(`remove exportTo, or write exportTo: ["*"]`)
			return
		}
	}
}

// subset defines a version. Without labels it is every endpoint of the host.
func (t *translator) subset(n *load.Node, seen map[string]source.Span) mesh.VersionPolicy {
	policy := n.Get("trafficPolicy")
	v := mesh.VersionPolicy{
		Name:            n.TextOf("name"),
		Labels:          labels(n.Get("labels")),
		TrafficSettings: t.trafficSettings(policy),
		Ports:           t.portPolicies(policy),
		Span:            t.At(n, "name"),
	}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	t.unique(seen, v.Name, v.Span, "subset")
	if !translate.IsLabel(v.Name) {
		t.Wrong(v.Span, "subset %q: want a name of lower-case letters, digits and -", v.Name)
	}
	return v
}

func (t *translator) portPolicies(n *load.Node) []mesh.PortPolicy {
	var out []mesh.PortPolicy
	seen := map[string]source.Span{}
	for _, item := range n.ItemsOf("portLevelSettings") {
		port := item.Get("port")
		if port.Get("number") == nil {
			t.Wrong(item.Span, "portLevelSettings has no port: {number: ...}")
			continue
		}
		t.unique(seen, port.Get("number").Text, t.At(port, "number"), "port")
		out = append(out, mesh.PortPolicy{
			Port:            t.port(port, "number"),
			TrafficSettings: t.trafficSettings(item),
			Span:            t.At(port, "number"),
		})
	}
	return out
}

// trafficSettings reads what a policy, a subset's or a port's share.
func (t *translator) trafficSettings(n *load.Node) mesh.TrafficSettings {
	if n == nil {
		return mesh.TrafficSettings{}
	}
	pool := n.Get("connectionPool")
	return mesh.TrafficSettings{
		LoadBalancing:    t.loadBalancing(n.Get("loadBalancer")),
		Connections:      t.connections(pool),
		CircuitBreaker:   t.circuitBreaker(pool),
		OutlierDetection: t.outlierDetection(n.Get("outlierDetection")),
		RetryBudget:      t.retryBudget(n.Get("retryBudget")),
		TLS:              t.clientTLS(n.Get("tls")),
	}
}

// Defaults of a RetryBudget that is written (destination_rule.proto).
const (
	defaultBudgetPercent    = 20
	defaultRetryConcurrency = 3
)

func (t *translator) retryBudget(n *load.Node) *mesh.RetryBudget {
	if n == nil {
		return nil
	}
	b := &mesh.RetryBudget{Percent: defaultBudgetPercent, MinRetryConcurrency: defaultRetryConcurrency, Span: n.Span}
	if percent, ok := t.percent(n, "percent"); ok {
		b.Percent = percent
	}
	if least := t.positive(n, "minRetryConcurrency"); least != nil {
		b.MinRetryConcurrency = *least
	}
	if d := t.Duration(n, "budgetInterval", 0); zero(d) > 0 {
		b.Interval = d
	}
	return b
}

// tlsModes by Istio's names.
var tlsModes = map[string]string{"": "disable", "DISABLE": "disable", "SIMPLE": "simple", "MUTUAL": "mutual", "ISTIO_MUTUAL": "mesh"}

// clientTLS reads TLS to a host. Certificates are files of the sidecar.
func (t *translator) clientTLS(n *load.Node) *mesh.ClientTLS {
	if n == nil {
		return nil
	}
	c := &mesh.ClientTLS{
		Mode:      tlsModes[n.TextOf("mode")],
		SNI:       n.TextOf("sni"),
		SANs:      plain(n.TextsOf("subjectAltNames")),
		CACerts:   n.TextOf("caCertificates"),
		Cert:      n.TextOf("clientCertificate"),
		ClientKey: n.TextOf("privateKey"),
		SkipCheck: n.IsTrue("insecureSkipVerify"),
		Path:      true,
		Span:      n.Span,
	}
	if c.CACerts == "system" { // Istio's name for the roots that are used anyway
		c.CACerts = ""
	}
	t.tlsFields(n, c)
	return c
}

// tlsFields are the fields that a mode takes or needs.
func (t *translator) tlsFields(n *load.Node, c *mesh.ClientTLS) {
	var meaningless, needed []string
	switch c.Mode {
	case "disable", "mesh":
		meaningless = []string{"clientCertificate", "privateKey", "caCertificates", "subjectAltNames", "sni", "insecureSkipVerify"}
	case "simple":
		meaningless = []string{"clientCertificate", "privateKey"}
	case "mutual":
		needed = []string{"clientCertificate", "privateKey"}
	}
	if c.SkipCheck {
		meaningless = append(meaningless, "caCertificates", "subjectAltNames")
	}
	for _, key := range meaningless {
		if f := n.Field(key); f != nil && !isFalse(n, key) {
			t.meaninglessTLS(f, n, c)
		}
	}
	for _, key := range needed {
		if n.TextOf(key) == "" && n.Get("credentialName") == nil {
			t.Wrong(t.At(n, key), "mode MUTUAL needs %s", key)
		}
	}
}

// meaninglessTLS says what becomes of a field that the mode does not read. Istio
// refuses it with ISTIO_MUTUAL and with insecureSkipVerify, else ignores it.
func (t *translator) meaninglessTLS(f *load.Field, n *load.Node, c *mesh.ClientTLS) {
	ownCertificate := f.Key == "clientCertificate" || f.Key == "privateKey"
	switch {
	case c.Mode == "mesh" && (f.Key == "sni" || f.Key == "subjectAltNames"):
		d := t.Unsupported(f.KeySpan, "%s is not supported with mode ISTIO_MUTUAL", f.Key)
		d.SetFix("leave it out: the identities of the service's workloads are expected")
	case c.Mode == "mesh":
		t.Wrong(f.KeySpan, "%s has no meaning with mode ISTIO_MUTUAL", f.Key)
	case c.Mode == "simple" && ownCertificate:
		d := t.Warn(f.KeySpan, "%s has no effect with mode SIMPLE: no certificate is shown", f.Key)
		d.SetFix("write mode: MUTUAL")
	case c.SkipCheck:
		t.Wrong(f.KeySpan, "%s has no meaning with insecureSkipVerify", f.Key)
	default:
		t.Warn(f.KeySpan, "%s has no effect with mode DISABLE", f.Key)
	}
}
