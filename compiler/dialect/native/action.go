package native

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (t *translator) redirect(n *load.Node, matches []mesh.Match) *mesh.Redirect {
	r := &mesh.Redirect{
		Scheme: n.TextOf("scheme"),
		Host:   t.host(n, "host"),
		Port:   port(n, "port"),
		Code:   301,
		Span:   n.Span,
	}
	if status := number(n, "status"); status != nil {
		r.Code = *status
	}
	path := n.Get("path")
	if path == nil {
		return r
	}
	t.refuse(path, "regex", "write full or prefix")
	switch t.pathRewrite(path, matches) {
	case "full":
		r.Path = path.TextOf("full")
	case "prefix":
		prefix := path.TextOf("prefix")
		r.PrefixRewrite = &prefix
	}
	return r
}

// host reads a DNS name without wildcard.
func (t *translator) host(n *load.Node, key string) string {
	h := n.TextOf(key)
	if strings.Contains(h, "*") {
		t.Wrong(t.At(n, key), "%s %q: a wildcard names no single host", key, h)
	}
	return h
}

func (t *translator) respond(n *load.Node) *mesh.Respond {
	return &mesh.Respond{
		Status:  zero(number(n, "status")),
		Body:    n.TextOf("body"),
		Headers: t.headerValues(n, "headers"),
		Span:    n.Span,
	}
}

func (t *translator) rewrite(n *load.Node, matches []mesh.Match) *mesh.Rewrite {
	if n == nil {
		return nil
	}
	r := &mesh.Rewrite{Host: t.host(n, "host"), Span: n.Span}
	path := n.Get("path")
	if path == nil {
		return r
	}
	switch key := t.pathRewrite(path, matches); key {
	case "full":
		full := path.TextOf(key)
		r.Path = &full
	case "prefix":
		prefix := path.TextOf(key)
		r.Prefix = &prefix
	case "regex":
		r.Regex, r.Substitute = t.substitution(path.Get(key))
	}
	return r
}

// pathRewrite checks the fields that rewrite and redirect share, and returns the
// one that is written.
func (t *translator) pathRewrite(n *load.Node, matches []mesh.Match) string {
	key := which(n, "full", "prefix", "regex")
	switch key {
	case "full":
		t.literalPath(n, key)
	case "prefix":
		t.literalPath(n, key)
		matched := func(m mesh.Match) bool {
			return m.Path != nil && !m.GRPC && (m.Path.Kind == mesh.SegmentPrefix || m.Path.Kind == mesh.Prefix)
		}
		if len(matches) == 0 || !slices.ContainsFunc(matches, matched) || slices.ContainsFunc(matches, func(m mesh.Match) bool { return !matched(m) }) {
			d := t.Wrong(t.At(n, key), "prefix %q replaces the matched prefix, but not every match of this rule matches the path by prefix", n.TextOf(key))
			d.Fix = &diag.Fix{Message: "match by path.prefix, or write full to replace the whole path"}
		}
	}
	return key
}

var groupReference = regexp.MustCompile(`\\([0-9]|.|$)`)

func (t *translator) substitution(n *load.Node) (pattern, substitute string) {
	pattern, substitute = n.TextOf("pattern"), n.TextOf("substitution")
	re, err := regexp.Compile(pattern)
	if err != nil {
		return pattern, substitute // package check reports it
	}
	for _, m := range groupReference.FindAllStringSubmatch(substitute, -1) {
		group, err := strconv.Atoi(m[1])
		switch {
		case m[1] == `\`:
		case err != nil:
			t.Wrong(t.At(n, "substitution"), `substitution %q: write \1 to \9 for a group and \\ for a backslash`, substitute)
		case group > re.NumSubexp():
			t.Wrong(t.At(n, "substitution"), `substitution %q: there is no group \%d in %q, which has %d`, substitute, group, pattern, re.NumSubexp())
		}
	}
	return pattern, substitute
}

func (t *translator) headerOps(n *load.Node) *mesh.HeaderOps {
	if n == nil {
		return nil
	}
	ops := &mesh.HeaderOps{Set: t.headerValues(n, "set"), Add: t.headerValues(n, "add")}
	for _, v := range n.ItemsOf("remove") {
		if v.Kind == load.String && t.changeable(v.Text, load.Field{Key: v.Text, KeySpan: v.Span, Value: v}) {
			ops.Remove = append(ops.Remove, v.Text)
		}
	}
	return ops
}

// headerValues reads headers in the order in which they are written.
func (t *translator) headerValues(n *load.Node, key string) []mesh.HeaderValue {
	object := n.Get(key)
	if object == nil {
		return nil
	}
	var out []mesh.HeaderValue
	for _, f := range object.Fields {
		if !t.changeable(f.Key, f) || f.Value.Kind != load.String {
			continue
		}
		if translate.ControlCharacter(f.Value.Text) {
			t.Wrong(f.Value.Span, "header %s: the value %q has a control character, which could end the header", f.Key, f.Value.Text)
			continue
		}
		out = append(out, mesh.HeaderValue{Name: f.Key, Value: f.Value.Text, Span: f.Value.Span})
	}
	return out
}

func (t *translator) changeable(name string, f load.Field) bool {
	switch {
	case !t.headerName(name, f):
		return false
	case name == "host":
		d := t.Wrong(f.KeySpan, "header host: Envoy does not let it be changed as a header")
		d.Fix = &diag.Fix{Message: "write rewrite: {host: ...}"}
		return false
	case translate.Framing(name):
		t.Wrong(f.KeySpan, "header %s belongs to the connection and is the proxy's own", name)
		return false
	}
	return true
}

func (t *translator) mirrors(n *load.Node) []mesh.Mirror {
	if n == nil {
		return nil
	}
	return []mesh.Mirror{{Destination: t.destination(n), Percent: percent(n, "percent")}}
}

func (t *translator) cors(n *load.Node) *mesh.CORS {
	if n == nil {
		return nil
	}
	c := &mesh.CORS{
		AllowMethods:     texts(n, "allowMethods"),
		AllowHeaders:     texts(n, "allowHeaders"),
		ExposeHeaders:    texts(n, "exposeHeaders"),
		AllowCredentials: zero(flag(n, "allowCredentials")),
		MaxAge:           t.seconds(n, "maxAge"),
		Span:             n.Span,
	}
	for _, o := range n.ItemsOf("allowOrigins") {
		c.AllowOrigins = append(c.AllowOrigins, t.origin(o, c.AllowCredentials))
	}
	return c
}

// origin reads one allowed origin. With credentials, an origin that matches
// everything hands every site the user's session.
func (t *translator) origin(n *load.Node, credentials bool) mesh.StringMatch {
	m, _ := t.valueMatch(n)
	for _, key := range []string{"present", "invert"} {
		if f := n.Field(key); f != nil {
			t.Wrong(f.KeySpan, "%s does not exist for origins: list those that are allowed", key)
		}
	}
	anything := m.Kind == mesh.Exact && m.Value == "*" || m.Kind == mesh.Regex && slices.Contains([]string{".*", ".+", "^.*$"}, m.Value)
	if credentials && anything {
		t.Wrong(m.Span, "origin %q matches every site, and allowCredentials lets each of them read answers with the user's cookies: list the origins", m.Value)
	}
	return m
}

func (t *translator) fault(n *load.Node, rule string) *mesh.Fault {
	if n == nil {
		return nil
	}
	f := &mesh.Fault{Expires: t.expires(n, "expires", "fault of rule \""+rule+"\""), Span: n.Span}
	if delay := n.Get("delay"); delay != nil {
		f.DelayPercent = percent(delay, "percent")
		f.Delay = zero(t.Duration(delay, "duration", time.Millisecond))
	}
	if abort := n.Get("abort"); abort != nil {
		f.AbortPercent = percent(abort, "percent")
		f.AbortStatus = zero(number(abort, "status"))
		f.AbortGRPC = number(abort, "grpcStatus")
	}
	return f
}
