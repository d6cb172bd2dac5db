package istio

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// forwarding reads what else a rule says.
func (t *translator) forwarding(n *load.Node, r *mesh.Rule) {
	r.Rewrite = t.rewrite(n.Get("rewrite"))
	t.headers(n.Get("headers"), &r.RequestHeaders, &r.ResponseHeaders)
	t.hostOf(r)
	if d := t.Duration(n, "timeout", 0); d != nil {
		r.Timeout = &mesh.Timeout{Value: *d, Span: t.At(n, "timeout")}
	}
	r.Retry = t.retry(n.Get("retries"))
	r.Fault = t.fault(n.Get("fault"))
	r.Mirrors = t.mirrors(n)
	r.CORS = t.cors(n.Get("corsPolicy"))
}

// conditions are Envoy's words for retry_on and grpc-retry-on that Istio's
// webhook takes; Envoy ignores others in silence.
var conditions = []string{
	"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "retriable-4xx", "refused-stream",
	"retriable-status-codes", "retriable-headers", "envoy-ratelimited", "http3-post-connect-failure",
	"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable",
}

// retry repeats every method, as Istio documents: Methods stays nil. A missing
// retryOn leaves the conditions to Istio's default, which package check fills.
func (t *translator) retry(n *load.Node) *mesh.Retry {
	if n == nil {
		return nil
	}
	r := &mesh.Retry{
		Attempts:           zero(t.count(n, "attempts")),
		PerTry:             t.Duration(n, "perTryTimeout", time.Millisecond),
		BackoffBase:        t.Duration(n, "backoff", time.Millisecond),
		AvoidPreviousHosts: !isFalse(n, "retryIgnorePreviousHosts"),
		RemoteLocalities:   n.IsTrue("retryRemoteLocalities"),
		Span:               n.Span,
	}
	written := n.Get("attempts")
	if (written == nil || written.Text == "0") && (n.Get("perTryTimeout") != nil || n.TextOf("retryOn") != "") {
		d := t.Wrong(t.At(n, "attempts"), "retries are described, and attempts is 0, which switches them off")
		d.SetFix("write attempts: with the number of repetitions, or attempts: 0 alone")
	}
	t.retryOn(n, r)
	return r
}

func (t *translator) retryOn(n *load.Node, r *mesh.Retry) {
	value := n.TextOf("retryOn")
	if value == "" {
		return
	}
	for word := range strings.SplitSeq(value, ",") {
		word = strings.TrimSpace(word)
		status, err := strconv.ParseUint(word, 10, 16)
		switch {
		case err == nil && 100 <= status && status <= 599:
			r.Statuses = append(r.Statuses, uint32(status))
		case slices.Contains(conditions, word):
			r.Conditions = append(r.Conditions, word)
		default:
			d := t.Wrong(t.At(n, "retryOn"), "retryOn %q: %q is neither a condition of Envoy's nor a status", value, word)
			if near := load.Nearest(word, conditions); near != "" {
				d.SetFix("did you mean " + near + "?")
			}
		}
	}
}

func (t *translator) fault(n *load.Node) *mesh.Fault {
	if n == nil {
		return nil
	}
	f := &mesh.Fault{Span: n.Span}
	delay, abort := n.Get("delay"), n.Get("abort")
	if delay == nil && abort == nil {
		t.Wrong(n.Span, "the fault has neither delay nor abort")
	}
	if delay != nil {
		f.DelayPercent = t.faultPercent(delay, "delay")
		f.Delay = zero(t.Duration(delay, "fixedDelay", time.Millisecond))
		if delay.Get("fixedDelay") == nil && delay.Get("exponentialDelay") == nil {
			t.Wrong(delay.Span, "the delay has no fixedDelay")
		}
	}
	if abort != nil {
		f.AbortPercent = t.faultPercent(abort, "abort")
		t.abort(abort, f)
	}
	return f
}

// faultPercent is percentage, else the deprecated percent, else 0: Istio's
// documentation says that without it no request is affected.
func (t *translator) faultPercent(n *load.Node, what string) float64 {
	if p := n.Get("percentage"); p != nil {
		value, _ := t.percent(p, "value")
		return value
	}
	value, ok := t.percent(n, "percent")
	if !ok {
		d := t.Warn(n.Span, "the %s has no percentage and affects no request", what)
		d.SetFix("write percentage: {value: 100} for every request")
	}
	return value
}

// grpcCodes by the names that Istio takes, in the order of their numbers.
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

func (t *translator) abort(n *load.Node, f *mesh.Fault) {
	switch grpc := n.Get("grpcStatus"); {
	case n.Get("httpStatus") != nil:
		f.AbortStatus = t.status(n, "httpStatus")
	case grpc != nil && grpc.Kind == load.String:
		code := slices.Index(grpcCodes, grpc.Text)
		if code < 0 {
			t.Wrong(grpc.Span, "grpcStatus %q: want a name such as UNAVAILABLE", grpc.Text)
			return
		}
		number := uint32(code)
		f.AbortGRPC = &number
	case n.Get("http2Error") == nil:
		t.Wrong(n.Span, "the abort has neither httpStatus nor grpcStatus")
	}
}

// mirrors reads both spellings. Without a percentage everything is mirrored.
func (t *translator) mirrors(n *load.Node) []mesh.Mirror {
	t.Exclusive(n, "mirror", "mirrors", "write mirrors alone")
	var out []mesh.Mirror
	if mirror := n.Get("mirror"); mirror != nil {
		m := mesh.Mirror{Destination: t.destination(mirror, mirror.Span), Percent: 100}
		if percent, ok := t.percent(n, "mirrorPercent"); ok {
			m.Percent = percent
		}
		if p := n.Get("mirrorPercentage"); p != nil {
			m.Percent, _ = t.percent(p, "value")
		}
		out = append(out, m)
	} else if f := n.Field("mirrorPercentage"); f != nil {
		t.Warn(f.KeySpan, "mirrorPercentage has no effect without mirror")
	}
	for _, item := range n.ItemsOf("mirrors") {
		m := mesh.Mirror{Destination: t.destination(item.Get("destination"), item.Span), Percent: 100}
		if p := item.Get("percentage"); p != nil {
			m.Percent, _ = t.percent(p, "value")
		}
		out = append(out, m)
	}
	return slices.DeleteFunc(out, func(m mesh.Mirror) bool { return m.Percent == 0 })
}

func (t *translator) cors(n *load.Node) *mesh.CORS {
	if n == nil {
		return nil
	}
	c := &mesh.CORS{
		AllowMethods:     t.tokens(n, "allowMethods"),
		AllowHeaders:     t.tokens(n, "allowHeaders"),
		ExposeHeaders:    t.tokens(n, "exposeHeaders"),
		AllowCredentials: n.IsTrue("allowCredentials"),
		MaxAge:           zero(t.seconds(n, "maxAge", 0)),
		Span:             n.Span,
	}
	if n.TextOf("unmatchedPreflights") == "IGNORE" {
		d := t.Unsupported(t.At(n, "unmatchedPreflights"), "unmatchedPreflights IGNORE is not supported")
		d.SetFix("leave it out: a preflight of another origin goes to the service")
	}
	for _, o := range n.ItemsOf("allowOrigins") {
		m, ok := t.stringMatch(o, "origin")
		if !ok || m.Value == "" {
			t.Wrong(o.Span, "the origin has neither exact, prefix nor regex")
			continue
		}
		c.AllowOrigins = append(c.AllowOrigins, m)
	}
	for _, o := range n.TextsOf("allowOrigin") {
		c.AllowOrigins = append(c.AllowOrigins, mesh.StringMatch{Value: o.Text, Span: o.Span})
	}
	t.credentials(c)
	return c
}

// credentials refuses what Istio accepts: an origin that matches every site,
// which then reads the answers to the user's own requests.
func (t *translator) credentials(c *mesh.CORS) {
	for _, m := range c.AllowOrigins {
		anything := m.Kind == mesh.Exact && m.Value == "*" || m.Kind == mesh.Regex && slices.Contains([]string{".*", ".+", "^.*$", "*"}, m.Value)
		if c.AllowCredentials && anything {
			t.Wrong(m.Span, "origin %q matches every site, and allowCredentials lets each of them read answers with the user's cookies: list the origins", m.Value)
		}
	}
}

// tokens reads names of methods or headers, or a *.
func (t *translator) tokens(n *load.Node, key string) []string {
	var out []string
	for _, v := range n.TextsOf(key) {
		if !translate.Token(v.Text) {
			t.Wrong(v.Span, "%s %q: want a name", key, v.Text)
			continue
		}
		out = append(out, v.Text)
	}
	return out
}
