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
	for _, n := range spec.ItemsOf("versions") {
		p.Versions = append(p.Versions, t.versionPolicy(n))
	}
	for _, n := range spec.ItemsOf("ports") {
		p.Ports = append(p.Ports, mesh.PortPolicy{Port: port(n, "port"), TrafficSettings: t.trafficSettings(n), Span: t.At(n, "port")})
	}
	t.out.TrafficPolicies = []*mesh.TrafficPolicy{p}
}

func (t *translator) versionPolicy(n *load.Node) mesh.VersionPolicy {
	v := mesh.VersionPolicy{Name: n.TextOf("name"), TrafficSettings: t.trafficSettings(n), Span: t.At(n, "name")}
	if labels := n.Get("labels"); labels != nil {
		v.Labels = make(map[string]string, len(labels.Fields))
		for _, f := range labels.Fields {
			v.Labels[f.Key] = labels.TextOf(f.Key)
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
	lb := &mesh.LoadBalancing{
		Policy:       n.TextOf("policy"),
		Locality:     t.byLocality(n.Get("locality")),
		PanicPercent: share(n, "panicThreshold"),
		Span:         n.Span,
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
	list := n.ItemsOf("hash")
	switch {
	case consistent && n.Get("hash") == nil:
		t.Wrong(t.At(n, "policy"), "policy %s needs hash: what of the request to hash", lb.Policy)
	case !consistent && n.Get("hash") != nil && lb.Policy != "":
		t.Wrong(n.Field("hash").KeySpan, "hash has no meaning with policy %s: write policy ring-hash or maglev", lb.Policy)
	}
	for _, n := range list {
		lb.Hash = append(lb.Hash, t.hashKey(n))
	}
}

// hashKey reads one property that is hashed. A cookie is made where it is missing,
// and is then the session's unless it has a ttl.
func (t *translator) hashKey(n *load.Node) (key mesh.HashKey) {
	switch which(n, "header", "cookie", "query", "sourceIP") {
	case "header":
		key.Header = t.namedHeader(n)
	case "query":
		key.Query = n.TextOf("query")
	case "sourceIP":
		key.SourceIP = true
	case "cookie":
		c := n.Get("cookie")
		ttl := zero(t.Duration(c, "ttl", time.Second))
		key.Cookie = &mesh.HashCookie{Name: t.cookieName(c), Path: t.cookiePath(c), TTL: &ttl, Attributes: t.cookieAttributes(c.Get("attributes"))}
	}
	return key
}

func (t *translator) slowStart(n *load.Node, lb *mesh.LoadBalancing) {
	s := n.Get("slowStart")
	if s == nil {
		return
	}
	if lb.Policy != "round-robin" && lb.Policy != "least-request" && lb.Policy != "" {
		t.Wrong(n.Field("slowStart").KeySpan, "slowStart has no meaning with policy %s: write policy round-robin or least-request", lb.Policy)
	}
	lb.SlowStart = &mesh.SlowStart{Window: zero(t.Duration(s, "window", time.Millisecond)), MinPercent: 10, Aggression: 1}
	if least := share(s, "minWeightPercent"); least != nil {
		lb.SlowStart.MinPercent = *least
	}
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
	if k := n.Get("http2Keepalive"); k != nil {
		c.HTTP2KeepAlive = &mesh.HTTP2KeepAlive{
			Interval: zero(t.Duration(k, "interval", time.Millisecond)),
			Timeout:  zero(t.Duration(k, "timeout", time.Millisecond)),
		}
	}
	return c
}

func (t *translator) circuitBreaker(n *load.Node) *mesh.CircuitBreaker {
	if n == nil {
		return nil
	}
	return &mesh.CircuitBreaker{
		MaxConnections:        number(n, "maxConnections"),
		MaxPendingRequests:    number(n, "maxPendingRequests"),
		MaxRequests:           number(n, "maxRequests"),
		MaxRetries:            number(n, "maxRetries"),
		MaxConnectionsPerHost: number(n, "maxConnectionsPerHost"),
		Span:                  n.Span,
	}
}

func (t *translator) outlierDetection(n *load.Node) *mesh.OutlierDetection {
	if n == nil {
		return nil
	}
	o := &mesh.OutlierDetection{
		Consecutive5xx:           number(n, "consecutive5xxErrors"),
		ConsecutiveGatewayErrors: number(n, "consecutiveGatewayErrors"),
		ConsecutiveLocalErrors:   number(n, "consecutiveLocalErrors"),
		SplitLocalErrors:         n.Get("consecutiveLocalErrors") != nil,
		Interval:                 t.Duration(n, "interval", time.Millisecond),
		BaseEjectionTime:         t.Duration(n, "baseEjectionTime", time.Millisecond),
		MaxEjectionTime:          t.Duration(n, "maxEjectionTime", time.Millisecond),
		MaxEjectionPercent:       number(n, "maxEjectionPercent"),
		SuccessRate:              t.successRate(n.Get("successRate")),
		FailurePercentage:        failurePercentage(n.Get("failurePercentage")),
		Span:                     n.Span,
	}
	if o.BaseEjectionTime != nil && o.MaxEjectionTime != nil && *o.MaxEjectionTime < *o.BaseEjectionTime {
		t.Wrong(t.At(n, "maxEjectionTime"), "maxEjectionTime %q is shorter than baseEjectionTime %q", n.TextOf("maxEjectionTime"), n.TextOf("baseEjectionTime"))
	}
	return o
}

// maxStdevFactor: Envoy counts in thousandths, and a mean of percents is never as
// far from anything.
const maxStdevFactor = 1000

func (t *translator) successRate(n *load.Node) *mesh.SuccessRate {
	if n == nil {
		return nil
	}
	s := &mesh.SuccessRate{MinHosts: number(n, "minHosts"), RequestVolume: number(n, "requestVolume"), StdevFactor: share(n, "stdevFactor")}
	if s.StdevFactor != nil && *s.StdevFactor > maxStdevFactor {
		t.Wrong(t.At(n, "stdevFactor"), "stdevFactor %s: want at most %d", n.Get("stdevFactor").Text, maxStdevFactor)
		s.StdevFactor = nil
	}
	return s
}

func failurePercentage(n *load.Node) *mesh.FailurePercentage {
	if n == nil {
		return nil
	}
	return &mesh.FailurePercentage{Threshold: zero(number(n, "threshold")), MinHosts: number(n, "minHosts"), RequestVolume: number(n, "requestVolume")}
}

// defaultRetryConcurrency is Envoy's min_retry_concurrency.
const defaultRetryConcurrency = 3

func (t *translator) retryBudget(n *load.Node) *mesh.RetryBudget {
	if n == nil {
		return nil
	}
	b := &mesh.RetryBudget{Percent: percent(n, "percent"), MinRetryConcurrency: defaultRetryConcurrency, Span: n.Span,
		Interval: t.Duration(n, "interval", time.Millisecond)}
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
	// Envoy sends nowhere else what its circuit breaker refused: an overflow is never
	// retried (router, RetryState), an aggregate cluster looks at health alone and
	// shares requests by it before the last endpoint is gone, and internal redirects
	// follow an endpoint's answer, not the proxy's own.
	t.refuse(n, "to", "write respond, a fixed answer: Envoy sends to no other service what its circuit breaker refused")
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
		Mode:    n.TextOf("mode"),
		SNI:     t.host(n, "sni"),
		SANs:    texts(n, "subjectAltNames"),
		CACerts: t.certificates(n, "caCertificates"),
		Span:    n.Span,
	}
	if c.Mode == "mutual" {
		t.Unsupported(t.At(n, "mode"), "mode mutual is not supported yet: write simple, or mesh for a service of the mesh")
	}
	t.refuse(n, "clientCertificate", "")
	if c.Mode == "mesh" || c.Mode == "disable" {
		for _, key := range []string{"sni", "subjectAltNames", "caCertificates"} {
			if f := n.Field(key); f != nil {
				t.Wrong(f.KeySpan, "%s has no meaning with mode %s", key, c.Mode)
			}
		}
	}
	return c
}
