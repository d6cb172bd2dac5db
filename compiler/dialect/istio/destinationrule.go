package istio

import (
	"strings"

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
		ExportTo:        t.exportTo(spec),
	}
	host := spec.Get("host")
	switch {
	case host == nil || host.Kind != load.String || host.Text == "":
		t.wrong(t.at(spec, "host"), "the DestinationRule has no host")
		return
	case strings.HasPrefix(host.Text, "*"):
		d := t.unsupported(host.Span, "host %q: a DestinationRule for many hosts is not supported", host.Text)
		fix(d, "write one DestinationRule for each service; mutual TLS within the mesh needs none")
		return
	case !t.hostName(host):
		return
	}
	p.Target = t.ref(host)
	seen := map[string]source.Span{}
	for _, n := range items(spec, "subsets") {
		p.Versions = append(p.Versions, t.subset(n, seen))
	}
	t.out.TrafficPolicies = []*mesh.TrafficPolicy{p}
}

// subset defines a version. Without labels it is every endpoint of the host.
func (t *translator) subset(n *load.Node, seen map[string]source.Span) mesh.VersionPolicy {
	policy := n.Get("trafficPolicy")
	v := mesh.VersionPolicy{
		Name:            text(n, "name"),
		Labels:          labels(n.Get("labels")),
		TrafficSettings: t.trafficSettings(policy),
		Ports:           t.portPolicies(policy),
		Span:            t.at(n, "name"),
	}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	t.unique(seen, v.Name, v.Span, "subset")
	if !isLabel(v.Name) {
		t.wrong(v.Span, "subset %q: want a name of lower-case letters, digits and -", v.Name)
	}
	return v
}

func (t *translator) portPolicies(n *load.Node) []mesh.PortPolicy {
	var out []mesh.PortPolicy
	seen := map[string]source.Span{}
	for _, item := range items(n, "portLevelSettings") {
		port := item.Get("port")
		if port.Get("number") == nil {
			t.wrong(item.Span, "portLevelSettings has no port: {number: ...}")
			continue
		}
		t.unique(seen, port.Get("number").Text, t.at(port, "number"), "port")
		out = append(out, mesh.PortPolicy{
			Port:            t.port(port, "number"),
			TrafficSettings: t.trafficSettings(item),
			Span:            t.at(port, "number"),
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
		Mode:      tlsModes[text(n, "mode")],
		SNI:       text(n, "sni"),
		SANs:      plain(texts(n, "subjectAltNames")),
		CACerts:   text(n, "caCertificates"),
		Cert:      text(n, "clientCertificate"),
		ClientKey: text(n, "privateKey"),
		SkipCheck: isTrue(n, "insecureSkipVerify"),
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
		if text(n, key) == "" && n.Get("credentialName") == nil {
			t.wrong(t.at(n, key), "mode MUTUAL needs %s", key)
		}
	}
}

// meaninglessTLS says what becomes of a field that the mode does not read. Istio
// refuses it with ISTIO_MUTUAL and with insecureSkipVerify, else ignores it.
func (t *translator) meaninglessTLS(f *load.Field, n *load.Node, c *mesh.ClientTLS) {
	ownCertificate := f.Key == "clientCertificate" || f.Key == "privateKey"
	switch {
	case c.Mode == "mesh" && (f.Key == "sni" || f.Key == "subjectAltNames"):
		d := t.unsupported(f.KeySpan, "%s is not supported with mode ISTIO_MUTUAL", f.Key)
		fix(d, "leave it out: the identities of the service's workloads are expected")
	case c.Mode == "mesh":
		t.wrong(f.KeySpan, "%s has no meaning with mode ISTIO_MUTUAL", f.Key)
	case c.Mode == "simple" && ownCertificate:
		d := t.warn(f.KeySpan, "%s has no effect with mode SIMPLE: no certificate is shown", f.Key)
		fix(d, "write mode: MUTUAL")
	case c.SkipCheck:
		t.wrong(f.KeySpan, "%s has no meaning with insecureSkipVerify", f.Key)
	default:
		t.warn(f.KeySpan, "%s has no effect with mode DISABLE", f.Key)
	}
}
