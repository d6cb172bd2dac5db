package native

import (
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (t *translator) trafficPolicy(spec *load.Node) {
	p := &mesh.TrafficPolicy{Origin: t.Origin, TrafficSettings: t.trafficSettings(spec)}
	if key := which(spec, "service", "externalService"); key != "" {
		p.Target = t.ref(spec, key)
	}
	for _, n := range items(spec, "versions") {
		p.Versions = append(p.Versions, t.versionPolicy(n))
	}
	for _, n := range items(spec, "ports") {
		p.Ports = append(p.Ports, mesh.PortPolicy{Port: port(n, "port"), TrafficSettings: t.trafficSettings(n), Span: t.at(n, "port")})
	}
	t.out.TrafficPolicies = []*mesh.TrafficPolicy{p}
}

func (t *translator) versionPolicy(n *load.Node) mesh.VersionPolicy {
	v := mesh.VersionPolicy{Name: text(n, "name"), TrafficSettings: t.trafficSettings(n), Span: t.at(n, "name")}
	if labels := n.Get("labels"); labels != nil {
		v.Labels = make(map[string]string, len(labels.Fields))
		for _, f := range labels.Fields {
			v.Labels[f.Key] = text(labels, f.Key)
		}
	}
	return v
}

func (t *translator) trafficSettings(n *load.Node) mesh.TrafficSettings {
	return mesh.TrafficSettings{
		LoadBalancing:    t.loadBalancing(n.Get("loadBalancing")),
		Connections:      t.connections(n.Get("connections")),
		CircuitBreaker:   t.circuitBreaker(n.Get("circuitBreaker")),
		OutlierDetection: t.outlierDetection(n.Get("outlierDetection")),
		RetryBudget:      t.retryBudget(n.Get("retryBudget")),
		Fallback:         t.fallback(n.Get("fallback")),
		TLS:              t.upstreamTLS(n.Get("tls")),
	}
}

func (t *translator) loadBalancing(n *load.Node) *mesh.LoadBalancing {
	if n == nil {
		return nil
	}
	t.unsupported(n, "locality", "")
	t.unsupported(n, "panicThreshold", "")
	lb := &mesh.LoadBalancing{
		Policy: text(n, "policy"),
		Span:   n.Span,
	}
	if n.Get("policy") == nil {
		lb.Policy = "least-request"
	}
	t.hash(n, lb)
	t.slowStart(n, lb)
	return lb
}

func (t *translator) hash(n *load.Node, lb *mesh.LoadBalancing) {
	consistent := lb.Policy == "ring-hash" || lb.Policy == "maglev"
	list := items(n, "hash")
	switch {
	case consistent && n.Get("hash") == nil:
		t.wrong(t.at(n, "policy"), "policy %s needs hash: what of the request to hash", lb.Policy)
	case !consistent && n.Get("hash") != nil && lb.Policy != "":
		t.wrong(n.Field("hash").KeySpan, "hash has no meaning with policy %s: write policy ring-hash or maglev", lb.Policy)
	case len(list) > 1:
		t.notYet(list[1].Span, "a second hash is not supported yet")
	}
	if len(list) == 0 {
		return
	}
	first := list[0]
	lb.Hash = &mesh.HashKey{}
	switch which(first, "header", "cookie", "query", "sourceIP") {
	case "header":
		lb.Hash.Header = t.namedHeader(first)
	case "query":
		lb.Hash.Query = text(first, "query")
	case "sourceIP":
		lb.Hash.SourceIP = true
	case "cookie":
		c := first.Get("cookie")
		lb.Hash.Cookie = &mesh.HashCookie{Name: t.cookieName(c), Path: text(c, "path"), TTL: t.Duration(c, "ttl", time.Second)}
	}
}

func (t *translator) slowStart(n *load.Node, lb *mesh.LoadBalancing) {
	s := n.Get("slowStart")
	if s == nil {
		return
	}
	if lb.Policy != "round-robin" && lb.Policy != "least-request" && lb.Policy != "" {
		t.wrong(n.Field("slowStart").KeySpan, "slowStart has no meaning with policy %s: write policy round-robin or least-request", lb.Policy)
	}
	t.unsupported(s, "minWeightPercent", "leave it out: a new endpoint begins with 10 percent")
	lb.SlowStart = t.Duration(s, "window", time.Millisecond)
}

func (t *translator) connections(n *load.Node) *mesh.Connections {
	if n == nil {
		return nil
	}
	c := &mesh.Connections{
		ConnectTimeout:        t.Duration(n, "connectTimeout", time.Millisecond),
		IdleTimeout:           t.Duration(n, "idleTimeout", time.Millisecond),
		MaxConnectionDuration: t.Duration(n, "maxDuration", time.Millisecond),
		MaxRequests:           zero(number(n, "maxRequestsPerConnection")),
		Span:                  n.Span,
	}
	if http2 := flag(n, "http2"); http2 != nil {
		c.HTTP2 = "never"
		if *http2 {
			c.HTTP2 = "upgrade"
		}
	}
	if k := n.Get("tcpKeepalive"); k != nil {
		c.KeepAlive = &mesh.KeepAlive{
			Probes:   zero(number(k, "probes")),
			Time:     t.seconds(k, "idle"),
			Interval: t.seconds(k, "interval"),
		}
	}
	return c
}

func (t *translator) circuitBreaker(n *load.Node) *mesh.CircuitBreaker {
	if n == nil {
		return nil
	}
	t.unsupported(n, "maxConnectionsPerHost", "limit the sum with maxConnections")
	return &mesh.CircuitBreaker{
		MaxConnections:     number(n, "maxConnections"),
		MaxPendingRequests: number(n, "maxPendingRequests"),
		MaxRequests:        number(n, "maxRequests"),
		MaxRetries:         number(n, "maxRetries"),
		Span:               n.Span,
	}
}

func (t *translator) outlierDetection(n *load.Node) *mesh.OutlierDetection {
	if n == nil {
		return nil
	}
	for _, key := range []string{"maxEjectionTime", "successRate", "failurePercentage"} {
		t.unsupported(n, key, "")
	}
	return &mesh.OutlierDetection{
		Consecutive5xx:           number(n, "consecutive5xxErrors"),
		ConsecutiveGatewayErrors: number(n, "consecutiveGatewayErrors"),
		ConsecutiveLocalErrors:   number(n, "consecutiveLocalErrors"),
		SplitLocalErrors:         n.Get("consecutiveLocalErrors") != nil,
		Interval:                 t.Duration(n, "interval", time.Millisecond),
		BaseEjectionTime:         t.Duration(n, "baseEjectionTime", time.Millisecond),
		MaxEjectionPercent:       number(n, "maxEjectionPercent"),
		Span:                     n.Span,
	}
}

// defaultRetryConcurrency is Envoy's min_retry_concurrency.
const defaultRetryConcurrency = 3

func (t *translator) retryBudget(n *load.Node) *mesh.RetryBudget {
	if n == nil {
		return nil
	}
	b := &mesh.RetryBudget{Percent: percent(n, "percent"), MinRetryConcurrency: defaultRetryConcurrency, Span: n.Span}
	if least := number(n, "minRetryConcurrency"); least != nil {
		b.MinRetryConcurrency = *least
	}
	return b
}

func (t *translator) fallback(n *load.Node) *mesh.Fallback {
	if n == nil {
		return nil
	}
	when := texts(n, "when")
	f := &mesh.Fallback{
		WhenOverflow:  slices.Contains(when, "overflow"),
		WhenNoHealthy: slices.Contains(when, "no-healthy-endpoint"),
		Span:          n.Span,
	}
	t.unsupported(n, "to", "write respond, a fixed answer")
	if which(n, "respond", "to") == "respond" {
		f.Respond = t.respond(n.Get("respond"))
	}
	return f
}

func (t *translator) upstreamTLS(n *load.Node) *mesh.ClientTLS {
	if n == nil {
		return nil
	}
	c := &mesh.ClientTLS{
		Mode:    text(n, "mode"),
		SNI:     t.host(n, "sni"),
		SANs:    texts(n, "subjectAltNames"),
		CACerts: t.certificates(n, "caCertificates"),
		Span:    n.Span,
	}
	if c.Mode == "mutual" {
		t.notYet(t.at(n, "mode"), "mode mutual is not supported yet: write simple, or mesh for a service of the mesh")
	}
	t.unsupported(n, "clientCertificate", "")
	if c.Mode == "mesh" || c.Mode == "disable" {
		for _, key := range []string{"sni", "subjectAltNames", "caCertificates"} {
			if f := n.Field(key); f != nil {
				t.wrong(f.KeySpan, "%s has no meaning with mode %s", key, c.Mode)
			}
		}
	}
	return c
}
