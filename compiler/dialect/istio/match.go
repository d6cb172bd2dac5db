package istio

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// match reads one HTTPMatchRequest.
func (t *translator) match(n *load.Node) mesh.Match {
	m := mesh.Match{
		Path:      t.uri(n),
		Scheme:    t.single(n, "scheme"),
		Authority: t.single(n, "authority"),
		Headers:   slices.Concat(t.headerMatches(n, "headers", false), t.headerMatches(n, "withoutHeaders", true)),
		Query:     t.queryMatches(n),
		Span:      n.Span,

		StatPrefix: t.statPrefix(n),
	}
	if method := t.single(n, "method"); method != nil {
		t.methodCase(method)
		m.Methods = []mesh.StringMatch{*method}
	}
	if port := t.port(n, "port"); port != 0 {
		m.Ports = []uint32{port}
	}
	m.From, m.At = t.callers(n), t.matchGateways(n)
	return m
}

// statPrefix becomes a part of a metric's name, of which dots are separators.
func (t *translator) statPrefix(n *load.Node) string {
	prefix := n.TextOf("statPrefix")
	if strings.ContainsFunc(prefix, func(r rune) bool { return r <= ' ' || r > '~' || r == '.' }) {
		t.Wrong(t.At(n, "statPrefix"), "statPrefix %q: want printable ASCII without blanks and dots", prefix)
	}
	return prefix
}

// callers is who asks, decided at compile time; nil is everyone.
func (t *translator) callers(n *load.Node) []mesh.Caller {
	c := mesh.Caller{Labels: labels(n.Get("sourceLabels"))}
	if namespace := n.TextOf("sourceNamespace"); namespace != "" {
		if !translate.IsLabel(namespace) {
			t.Wrong(t.At(n, "sourceNamespace"), "sourceNamespace %q is no namespace", namespace)
		}
		c.Namespaces = []string{namespace}
	}
	if len(c.Labels) == 0 && c.Namespaces == nil {
		return nil
	}
	return []mesh.Caller{c}
}

// stringMatch reads exact, prefix or regex; ok is false for none of them.
func (t *translator) stringMatch(n *load.Node, what string) (m mesh.StringMatch, ok bool) {
	for _, f := range []struct {
		key  string
		kind mesh.MatchKind
	}{{"exact", mesh.Exact}, {"prefix", mesh.Prefix}, {"regex", mesh.Regex}} {
		v := n.Get(f.key)
		if v == nil || v.Kind != load.String {
			continue
		}
		if v.Text == "" && f.kind != mesh.Exact {
			t.Wrong(v.Span, "%s %s is empty: write what to match, or {} for anything", what, f.key)
		}
		return mesh.StringMatch{Kind: f.kind, Value: v.Text, Span: v.Span}, true
	}
	return mesh.StringMatch{}, false
}

// single reads a match of something that every request has: {} is anything.
func (t *translator) single(n *load.Node, key string) *mesh.StringMatch {
	m, ok := t.stringMatch(n.Get(key), key)
	if !ok {
		return nil
	}
	return &m
}

// uri is compared with the path without its query. A prefix is one of the text,
// not of whole segments.
func (t *translator) uri(n *load.Node) *mesh.StringMatch {
	m := t.single(n, "uri")
	if m == nil {
		return nil
	}
	if m.Kind == mesh.Regex {
		if n.IsTrue("ignoreUriCase") {
			d := t.Warn(t.At(n, "ignoreUriCase"), "ignoreUriCase has no effect on a regex")
			d.SetFix("write (?i) at the beginning of the regex")
		}
		return m
	}
	m.IgnoreCase = n.IsTrue("ignoreUriCase")
	if why := neverPath(m.Value); why != "" {
		t.Warn(m.Span, "uri %s %q never matches: %s", m.Kind, m.Value, why)
	}
	return m
}

// neverPath says why no path begins with a text, "" where one may.
func neverPath(value string) string {
	switch {
	case value != "" && !strings.HasPrefix(value, "/") && value != "*":
		return "a path begins with /"
	case strings.Contains(value, "?"):
		return "the query is no part of it"
	case strings.Contains(value, "#"):
		return "a fragment is never sent"
	}
	return ""
}

// methodCase warns of methods that no client sends: they are case-sensitive
// (RFC 9110, 9.1).
func (t *translator) methodCase(m *mesh.StringMatch) {
	if m.Kind != mesh.Regex && m.Value != strings.ToUpper(m.Value) {
		d := t.Warn(m.Span, "method %q: methods are case-sensitive, and the usual ones are upper case", m.Value)
		d.SetFix("write " + strings.ToUpper(m.Value))
	}
}

// ofTheRequest are no headers: fields of their own match them. Istio's
// documentation says that headers of these names are ignored.
var ofTheRequest = map[string]string{
	"uri": "uri", "scheme": "scheme", "method": "method", "authority": "authority",
	":path": "uri", ":scheme": "scheme", ":method": "method", ":authority": "authority", "host": "authority",
}

// headerMatches reads matches by name, in the order of names.
func (t *translator) headerMatches(n *load.Node, key string, invert bool) []mesh.HeaderMatch {
	var out []mesh.HeaderMatch
	for _, f := range n.Get(key).Entries() {
		name := strings.ToLower(f.Key)
		switch {
		case strings.HasPrefix(name, "@"):
			d := t.Unsupported(f.KeySpan, "header %q: matching claims of a token is not supported", f.Key)
			d.SetFix("remove the match: tokens are not verified yet")
			continue
		case ofTheRequest[name] != "":
			t.Wrong(f.KeySpan, "%s is not matched as a header: write %s of the match", f.Key, ofTheRequest[name])
			continue
		case !translate.Token(name):
			t.Wrong(f.KeySpan, "header %q: a header's name is a token", f.Key)
			continue
		}
		m, ok := t.stringMatch(f.Value, "header "+f.Key)
		if !ok || m.Kind == mesh.Regex && m.Value == "*" { // Istio's spelling of "present"
			m = mesh.StringMatch{Kind: mesh.Present, Span: f.Value.Span}
		}
		out = append(out, mesh.HeaderMatch{Name: name, StringMatch: m, Invert: invert})
	}
	return out
}

func (t *translator) queryMatches(n *load.Node) []mesh.HeaderMatch {
	var out []mesh.HeaderMatch
	for _, f := range n.Get("queryParams").Entries() {
		if f.Key == "" {
			t.Wrong(f.KeySpan, "queryParams has an empty name")
		}
		m, ok := t.stringMatch(f.Value, "query parameter "+f.Key)
		if !ok || m.Kind == mesh.Regex && m.Value == "*" {
			m = mesh.StringMatch{Kind: mesh.Present, Span: f.Value.Span}
		}
		out = append(out, mesh.HeaderMatch{Name: f.Key, StringMatch: m})
	}
	return out
}
