package native

import (
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (t *translator) timeouts(n *load.Node, r *mesh.Rule) {
	if d := t.Duration(n, "timeout", 0); d != nil {
		r.Timeout = &mesh.Timeout{Value: *d, Span: t.At(n, "timeout")}
		if *d == 0 && n.Get("streamIdleTimeout") == nil {
			w := t.Wrong(t.At(n, "timeout"), "timeout 0s is none: a request that hangs would hold its resources for ever")
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
		t.Wrong(t.At(n, "max"), "max %q is shorter than base %q", n.TextOf("max"), n.TextOf("base"))
	}
}

func (t *translator) sticky(rule *load.Node, r *mesh.Rule) *mesh.Sticky {
	n := rule.Get("sticky")
	if n == nil {
		return nil
	}
	if r.Redirect == nil && r.Respond == nil && len(rule.ItemsOf("to")) < 2 {
		t.Wrong(n.Span, "sticky keeps a caller on one of several destinations, and this rule has one: remove it, or hash in a TrafficPolicy to keep a caller on its endpoint")
	}
	s := &mesh.Sticky{Key: t.hashKey(n), Span: n.Span}
	if c := s.Key.Cookie; c != nil && c.Path == "" {
		c.Path = "/" // a rule's cookie is for every path of the service
	}
	return s
}

// namedHeader reads the name of a header that is hashed.
func (t *translator) namedHeader(n *load.Node) string {
	name := n.TextOf("header")
	t.headerName(name, load.Field{Key: name, KeySpan: t.At(n, "header")})
	return name
}

// cookiePath reads a path, which stands in the cookie as it is.
func (t *translator) cookiePath(n *load.Node) string {
	path := n.TextOf("path")
	if path != "" && (path[0] != '/' || !translate.CookieText(path)) {
		t.Wrong(t.At(n, "path"), "path %q: want one that begins with / and has no semicolon, comma, blank or control character", path)
	}
	return path
}

// cookieAttributes reads what a cookie that the proxy makes says besides.
func (t *translator) cookieAttributes(n *load.Node) []mesh.CookieAttribute {
	var out []mesh.CookieAttribute
	for _, f := range n.Entries() {
		value := n.TextOf(f.Key)
		switch {
		case !translate.Token(f.Key) || !translate.CookieText(value):
			t.Wrong(f.KeySpan, "attribute %s=%q: want a token, and a value without semicolon, comma, blank or control character", f.Key, value)
		case translate.CookieOwn(f.Key):
			t.Wrong(f.KeySpan, "attribute %s: the cookie has ttl and path for it", f.Key)
		default:
			out = append(out, mesh.CookieAttribute{Name: f.Key, Value: value})
		}
	}
	return out
}

func (t *translator) cookieName(n *load.Node) string {
	name := n.TextOf("name")
	if n.Get("name") != nil && !translate.Token(name) {
		t.Wrong(t.At(n, "name"), "cookie %q: a cookie's name is a token", name)
	}
	return name
}
