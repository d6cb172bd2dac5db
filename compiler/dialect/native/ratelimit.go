package native

import (
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// limiterTimeout is how long a rate-limit service may take where nothing is written.
const limiterTimeout = 250 * time.Millisecond

// limiters reads the rate-limit services of the mesh.
func (t *translator) limiters(n *load.Node) []mesh.Limiter {
	var out []mesh.Limiter
	seen := map[string]source.Span{}
	for _, item := range n.ItemsOf("rateLimits") {
		t.unique(seen, item.Get("name"), "provider")
		l := mesh.Limiter{
			Name: item.TextOf("name"), Service: t.ref(item, "service"),
			Port: port(item, "port"), PortAt: t.At(item, "port"), Timeout: limiterTimeout,
		}
		if timeout := t.Duration(item, "timeout", time.Millisecond); timeout != nil {
			l.Timeout = *timeout
		}
		out = append(out, l)
	}
	return out
}

func (t *translator) rateLimitPolicy(spec *load.Node) {
	p := &mesh.RateLimitPolicy{Origin: t.Origin, Target: t.target(spec)}
	seen := map[string]source.Span{}
	for _, n := range spec.ItemsOf("limits") {
		t.unique(seen, n.Get("name"), "limit")
		if f := n.Field("rule"); f != nil && spec.Get("service") == nil {
			t.Wrong(f.KeySpan, "rule has no meaning without service: a workload has no route")
		}
		p.Limits = append(p.Limits, t.rateLimit(n))
	}
	t.out.RateLimits = []*mesh.RateLimitPolicy{p}
}

var units = map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

func (t *translator) rateLimit(n *load.Node) mesh.RateLimit {
	l := mesh.RateLimit{
		Name: n.TextOf("name"), Requests: zero(number(n, "requests")), Per: units[n.TextOf("per")],
		Rule: n.TextOf("rule"), RuleAt: t.At(n, "rule"), Span: t.At(n, "name"),
	}
	if by := n.Get("by"); by != nil {
		l.RateLimitKey = mesh.RateLimitKey{Caller: by.IsTrue("caller"), RemoteAddress: by.IsTrue("remoteAddress")}
		if by.Get("header") != nil {
			l.Header = t.namedHeader(by)
			if strings.Contains(l.Header, "%") {
				t.Wrong(t.At(by, "header"), "header %q: a name with %% cannot tell counts apart", l.Header)
			}
		}
	}
	global := n.Get("global")
	if global == nil {
		l.Burst = l.Requests
		if burst := number(n, "burst"); burst != nil {
			l.Burst = *burst
		}
		return l
	}
	if f := n.Field("burst"); f != nil {
		t.Wrong(f.KeySpan, "burst has no meaning beside global: the rate-limit service decides")
	}
	l.Provider, l.ProviderAt = global.TextOf("provider"), t.At(global, "provider")
	l.AllowUnavailable = global.TextOf("onUnavailable") == "allow"
	return l
}
