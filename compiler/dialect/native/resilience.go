package native

import (
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (t *translator) timeouts(n *load.Node, r *mesh.Rule) {
	if d := t.Duration(n, "timeout", 0); d != nil {
		r.Timeout = &mesh.Timeout{Value: *d, Span: t.at(n, "timeout")}
		if *d == 0 && n.Get("streamIdleTimeout") == nil {
			w := t.wrong(t.at(n, "timeout"), "timeout 0s is none: a request that hangs would hold its resources for ever")
			w.Fix = &diag.Fix{Message: "write streamIdleTimeout beside it, or a timeout"}
		}
	}
	r.IdleTimeout = t.Duration(n, "streamIdleTimeout", time.Millisecond)
	r.MaxStream = t.Duration(n, "maxStreamDuration", time.Millisecond)
}

var (
	// unseen are failures of requests that no endpoint has seen.
	unseen = []string{"connect-failure", "refused-stream", "reset-before-request"}
	// idempotent methods (RFC 9110, 9.2.2) may be repeated unless others are written.
	idempotent = []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"}
)

func (t *translator) retry(n *load.Node) *mesh.Retry {
	if n == nil {
		return nil
	}
	r := &mesh.Retry{
		Attempts:           zero(number(n, "attempts")),
		PerTry:             t.Duration(n, "perTryTimeout", time.Millisecond),
		Conditions:         texts(n, "conditions"),
		Statuses:           numbers(n, "statuses"),
		Methods:            slices.Clone(idempotent),
		AvoidPreviousHosts: zero(flag(n, "avoidPreviousHosts")),
		Span:               n.Span,
	}
	if n.Get("methods") != nil {
		r.Methods = texts(n, "methods")
	}
	if n.Get("conditions") == nil && n.Get("statuses") == nil {
		r.Conditions = slices.Clone(unseen)
	}
	t.backoff(n.Get("backoff"), r)
	return r
}

func (t *translator) backoff(n *load.Node, r *mesh.Retry) {
	if n == nil {
		return
	}
	r.BackoffBase = t.Duration(n, "base", time.Millisecond)
	r.BackoffMax = t.Duration(n, "max", time.Millisecond)
	if r.BackoffBase != nil && r.BackoffMax != nil && *r.BackoffMax < *r.BackoffBase {
		t.wrong(t.at(n, "max"), "max %q is shorter than base %q", text(n, "max"), text(n, "base"))
	}
}

func (t *translator) sticky(rule *load.Node, r *mesh.Rule) *mesh.Sticky {
	n := rule.Get("sticky")
	if n == nil {
		return nil
	}
	if r.Redirect == nil && r.Respond == nil && len(items(rule, "to")) < 2 {
		t.wrong(n.Span, "sticky keeps a caller on one of several destinations, and this rule has one: remove it, or hash in a TrafficPolicy to keep a caller on its endpoint")
	}
	s := &mesh.Sticky{Span: n.Span}
	switch which(n, "header", "cookie", "sourceIP") {
	case "header":
		s.Header = t.namedHeader(n)
	case "cookie":
		cookie := n.Get("cookie")
		t.unsupported(cookie, "path", "leave it out: the cookie is for every path")
		s.Cookie = t.cookieName(cookie)
		s.TTL = zero(t.Duration(cookie, "ttl", time.Second))
	case "sourceIP":
		t.unsupported(n, "sourceIP", "use a header or a cookie")
	}
	return s
}

// namedHeader reads the name of a header that is hashed.
func (t *translator) namedHeader(n *load.Node) string {
	name := text(n, "header")
	t.headerName(name, load.Field{Key: name, KeySpan: t.at(n, "header")})
	return name
}

func (t *translator) cookieName(n *load.Node) string {
	name := text(n, "name")
	if n.Get("name") != nil && !token(name) {
		t.wrong(t.at(n, "name"), "cookie %q: a cookie's name is a token", name)
	}
	return name
}
