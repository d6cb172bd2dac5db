package istio

import (
	"slices"
	"strconv"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// connections reads what connectionPool says of connections. It is there, as are
// the thresholds, wherever a pool is written: the pool of a subset stands instead
// of the host's, also where it leaves a field out.
func (t *translator) connections(pool *load.Node) *mesh.Connections {
	if pool == nil {
		return nil
	}
	tcp, http := pool.Get("tcp"), pool.Get("http")
	if tcp == nil && http == nil {
		t.Wrong(pool.Span, "connectionPool has neither tcp nor http")
	}
	return &mesh.Connections{
		ConnectTimeout:        t.Duration(tcp, "connectTimeout", time.Millisecond),
		MaxConnectionDuration: t.Duration(tcp, "maxConnectionDuration", time.Millisecond),
		IdleTimeout:           t.idleTimeout(tcp, http),
		KeepAlive:             t.keepAlive(tcp.Get("tcpKeepalive")),
		MaxRequests:           zero(t.count(http, "maxRequestsPerConnection")),
		MaxConcurrentStreams:  zero(t.count(http, "maxConcurrentStreams")),
		HTTP2KeepAlive:        t.http2KeepAlive(http.Get("http2KeepAlive")),
		HTTP2:                 t.http2(http),
		Span:                  pool.Span,
	}
}

// idleTimeout: Istio takes that of http for HTTP and that of tcp otherwise; the
// model has one.
func (t *translator) idleTimeout(tcp, http *load.Node) *time.Duration {
	d := t.Duration(tcp, "idleTimeout", 0)
	h := t.Duration(http, "idleTimeout", time.Millisecond)
	if h == nil {
		return d
	}
	if d != nil && *d != *h {
		u := t.Unsupported(t.At(http, "idleTimeout"), "an idleTimeout of http (%s) other than that of tcp (%s) is not supported", h, d)
		u.Related = []diag.Related{{Span: t.At(tcp, "idleTimeout"), Message: "that of tcp"}}
	}
	return h
}

func (t *translator) keepAlive(n *load.Node) *mesh.KeepAlive {
	if n == nil {
		return nil
	}
	return &mesh.KeepAlive{
		Probes:   zero(t.count(n, "probes")),
		Time:     zero(t.seconds(n, "time", time.Second)),
		Interval: zero(t.seconds(n, "interval", time.Second)),
	}
}

func (t *translator) http2KeepAlive(n *load.Node) *mesh.HTTP2KeepAlive {
	if n == nil {
		return nil
	}
	for _, key := range []string{"interval", "timeout"} {
		if n.Get(key) == nil {
			t.Wrong(n.Span, "http2KeepAlive has no %s", key)
		}
	}
	return &mesh.HTTP2KeepAlive{
		Interval: zero(t.Duration(n, "interval", time.Millisecond)),
		Timeout:  zero(t.Duration(n, "timeout", time.Millisecond)),
	}
}

func (t *translator) http2(n *load.Node) string {
	upgrade := n.TextOf("h2UpgradePolicy")
	if n.IsTrue("useClientProtocol") {
		if upgrade == "UPGRADE" {
			t.Wrong(t.At(n, "useClientProtocol"), "useClientProtocol has no meaning with h2UpgradePolicy UPGRADE")
		}
		return "as-client"
	}
	switch upgrade {
	case "UPGRADE":
		return "upgrade"
	case "DO_NOT_UPGRADE":
		return "never"
	}
	return ""
}

// circuitBreaker reads the thresholds. Istio cannot tell 0 from absence.
func (t *translator) circuitBreaker(pool *load.Node) *mesh.CircuitBreaker {
	if pool == nil {
		return nil
	}
	tcp, http := pool.Get("tcp"), pool.Get("http")
	return &mesh.CircuitBreaker{
		MaxConnections:     t.positive(tcp, "maxConnections"),
		MaxPendingRequests: t.positive(http, "http1MaxPendingRequests"),
		MaxRequests:        t.positive(http, "http2MaxRequests"),
		MaxRetries:         t.positive(http, "maxRetries"),
		Span:               pool.Span,
	}
}

func (t *translator) outlierDetection(n *load.Node) *mesh.OutlierDetection {
	if n == nil {
		return nil
	}
	o := &mesh.OutlierDetection{
		Consecutive5xx:           t.count(n, "consecutive5xxErrors"),
		ConsecutiveGatewayErrors: t.count(n, "consecutiveGatewayErrors"),
		ConsecutiveLocalErrors:   t.count(n, "consecutiveLocalOriginFailures"),
		SplitLocalErrors:         n.IsTrue("splitExternalLocalOriginErrors"),
		Interval:                 t.Duration(n, "interval", time.Millisecond),
		BaseEjectionTime:         t.Duration(n, "baseEjectionTime", time.Millisecond),
		MaxEjectionPercent:       t.wholePercent(n, "maxEjectionPercent"),
		MinHealthPercent:         t.wholePercent(n, "minHealthPercent"),
		ErrorStatuses:            t.errorStatuses(n),
		Span:                     n.Span,
	}
	// consecutiveErrors counted 502, 503 and 504.
	if old := t.positive(n, "consecutiveErrors"); old != nil && o.ConsecutiveGatewayErrors == nil && o.Consecutive5xx == nil {
		o.ConsecutiveGatewayErrors = old
	}
	if !o.SplitLocalErrors && zero(o.ConsecutiveLocalErrors) > 0 {
		d := t.Wrong(t.At(n, "consecutiveLocalOriginFailures"), "consecutiveLocalOriginFailures has no meaning without splitExternalLocalOriginErrors")
		d.SetFix("write splitExternalLocalOriginErrors: true")
	}
	return o
}

// errorStatuses reads which answers are errors.
func (t *translator) errorStatuses(n *load.Node) []uint32 {
	var out []uint32
	for _, item := range n.ItemsOf("outlierDetectionHttpErrorCodes") {
		code, err := strconv.ParseUint(item.Text, 10, 32)
		if err != nil || code < 100 || code > 599 {
			t.Wrong(item.Span, "outlierDetectionHttpErrorCodes %s: want 100 to 599", item.Text)
			continue
		}
		if !slices.Contains(out, uint32(code)) {
			out = append(out, uint32(code))
		}
	}
	slices.Sort(out)
	return out
}

// wholePercent reads an integer from 1 to 100; 0 is absence.
func (t *translator) wholePercent(n *load.Node, key string) *uint32 {
	p := t.positive(n, key)
	if p != nil && *p > 100 {
		t.Wrong(t.At(n, key), "%s is %d: want 0 to 100", key, *p)
		return nil
	}
	return p
}
