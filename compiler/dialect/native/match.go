package native

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// pathMatch reads one way to match a path.
func (t *translator) pathMatch(n *load.Node) mesh.StringMatch {
	key := which(n, "exact", "prefix", "template", "regex")
	m := mesh.StringMatch{Value: n.TextOf(key), Span: t.At(n, key)}
	switch key {
	case "exact":
		m.Kind = mesh.Exact
		t.literalPath(n, key)
	case "prefix":
		m.Kind = mesh.SegmentPrefix
		if m.Value == "/" { // every path; Envoy's path_separated_prefix must not end in a slash
			m.Kind = mesh.Prefix
		} else if t.literalPath(n, key) && strings.HasSuffix(m.Value, "/") {
			trimmed := strings.TrimRight(m.Value, "/")
			d := t.Wrong(m.Span, "prefix %q ends in a slash: a prefix is whole segments, and %q matches %s and %s/x", m.Value, trimmed, trimmed, trimmed)
			d.Fix = &diag.Fix{Message: "write " + trimmed}
		}
	case "template":
		m.Kind = mesh.Template
		t.template(n)
	case "regex":
		m.Kind = mesh.Regex // judged by package check
	}
	return m
}

// literalPath checks that a normalized path can be equal to the text, or begin
// with it: sidecars normalize before they match (RFC 3986, 6.2.2.3).
func (t *translator) literalPath(n *load.Node, key string) bool {
	v := n.Get(key)
	if v == nil || v.Kind != load.String {
		return false
	}
	why := ""
	lower := strings.ToLower(v.Text)
	switch {
	case !strings.HasPrefix(v.Text, "/"):
		why = "a path begins with /"
	case strings.ContainsAny(v.Text, "?"):
		why = "the query is no part of the path: match it with query"
	case strings.Contains(v.Text, "#"):
		why = "a fragment is never sent"
	case strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") || strings.Contains(v.Text, `\`):
		why = "paths with escaped slashes or backslashes never get this far"
	case strings.Contains(v.Text, "//"):
		why = "double slashes are merged before the match"
	case strings.Contains(v.Text+"/", "/./") || strings.Contains(v.Text+"/", "/../"):
		why = "dot segments are resolved before the match"
	case strings.ContainsFunc(v.Text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		why = "clients send spaces and characters beyond ASCII percent-encoded"
	}
	if why != "" {
		t.Wrong(v.Span, "%s %q: %s", key, v.Text, why)
	}
	return why == ""
}

// Bounds of Envoy's uri_template matcher
// (source/extensions/path/uri_template_lib/uri_template_internal.h).
const (
	maxTemplateVariables = 5
	maxVariableName      = 16
)

// template checks "/charges/{id}/refund" and a last "{rest=**}".
func (t *translator) template(n *load.Node) {
	if !t.literalPath(n, "template") {
		return
	}
	value, at := n.TextOf("template"), t.At(n, "template")
	seen := map[string]bool{}
	segments := strings.Split(value[1:], "/")
	for i, segment := range segments {
		name, isVariable := variable(segment)
		rest, isRest := strings.CutSuffix(name, "=**")
		switch {
		case !isVariable && strings.ContainsAny(segment, "{}*"):
			t.Wrong(at, "template %q: segment %q: write a literal, {name} for one segment, or a last {name=**} for the rest", value, segment)
		case !isVariable:
		case isRest && i < len(segments)-1:
			t.Wrong(at, "template %q: %q takes all the rest and must be last", value, segment)
		case !identifier(rest) || len(rest) > maxVariableName:
			t.Wrong(at, "template %q: %q: want a name of letters, digits and _, at most %d long", value, segment, maxVariableName)
		case seen[rest]:
			t.Wrong(at, "template %q: {%s} is there twice", value, rest)
		}
		if isVariable {
			seen[rest] = true
		}
	}
	if len(seen) > maxTemplateVariables {
		t.Wrong(at, "template %q has %d variables: Envoy takes %d", value, len(seen), maxTemplateVariables)
	}
}

func variable(segment string) (string, bool) {
	if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
		return segment[1 : len(segment)-1], true
	}
	return segment, false
}

func identifier(s string) bool {
	for i := range len(s) {
		letter := s[i] == '_' || 'a' <= s[i]|0x20 && s[i]|0x20 <= 'z'
		if !letter && (i == 0 || s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != ""
}

// methods reads an operation's or match's methods.
func methods(n *load.Node) []mesh.StringMatch {
	var out []mesh.StringMatch
	for _, v := range n.ItemsOf("methods") {
		if v.Kind == load.String {
			out = append(out, mesh.StringMatch{Value: v.Text, Span: v.Span})
		}
	}
	return out
}

// headerName checks a name that must be a lower-case token.
func (t *translator) headerName(name string, f load.Field) bool {
	why := ""
	switch {
	case strings.HasPrefix(name, ":"):
		why = "pseudo-headers have fields of their own (methods, path, hosts)"
	case !translate.Token(name):
		why = "a header's name is a token"
	case name != strings.ToLower(name):
		why = "write it in lower case, as HTTP/2 sends it"
	}
	if why != "" {
		t.Wrong(f.KeySpan, "header %q: %s", name, why)
	}
	return why == ""
}

// valueMatches reads matches by name, in the order of names. Names of headers
// must be lower case.
func (t *translator) valueMatches(n *load.Node, key string) []mesh.HeaderMatch {
	var out []mesh.HeaderMatch
	inverted := 0
	for _, f := range n.Get(key).Entries() {
		switch {
		case key == "headers":
			t.headerName(f.Key, f)
		case key == "cookies" && !translate.Token(f.Key):
			t.Wrong(f.KeySpan, "cookie %q: a cookie's name is a token", f.Key)
		case f.Key == "":
			t.Wrong(f.KeySpan, "%s has an empty name", key)
		}
		m, invert := t.valueMatch(f.Value)
		if key == "query" && invert {
			t.negatable(f, m)
			if m.Kind != mesh.Present {
				inverted++
			}
			if inverted > mostInvertedParameters {
				t.Unsupported(t.At(f.Value, "invert"), "more than %d inverted query parameters in one match are not supported: each doubles its routes in Envoy", mostInvertedParameters)
			}
		}
		out = append(out, mesh.HeaderMatch{Name: f.Key, StringMatch: m, Invert: invert})
	}
	return out
}

// mostInvertedParameters of one match make 16 routes.
const mostInvertedParameters = 4

// negatable refuses what Envoy cannot negate: its QueryParameterMatcher has no
// invert_match, and an RE2 expression has no negation.
func (t *translator) negatable(f load.Field, m mesh.StringMatch) {
	if m.Negatable() || m.Kind == mesh.Present {
		return
	}
	d := t.Unsupported(t.At(f.Value, "invert"), "invert of the query parameter %q is not supported here: Envoy negates only present, and exact, prefix or suffix of at most 256 characters", f.Key)
	d.Fix = &diag.Fix{Message: "match the parameter without invert in an earlier rule"}
}

func (t *translator) valueMatch(n *load.Node) (m mesh.StringMatch, invert bool) {
	key := which(n, "exact", "prefix", "suffix", "contains", "regex", "present")
	m = mesh.StringMatch{Value: n.TextOf(key), Span: t.At(n, key)}
	switch key {
	case "prefix":
		m.Kind = mesh.Prefix
	case "suffix":
		m.Kind = mesh.Suffix
	case "contains":
		m.Kind = mesh.Contains
	case "regex":
		m.Kind = mesh.Regex // judged by package check
	case "present":
		m.Kind = mesh.Present
	}
	return m, n.IsTrue("invert")
}

// grpc turns a service and method into the path that gRPC sends.
func (t *translator) grpc(n *load.Node) *mesh.StringMatch {
	service, method := n.TextOf("service"), n.TextOf("method")
	if method == "" {
		return &mesh.StringMatch{Kind: mesh.Prefix, Value: "/" + service + "/", Span: t.At(n, "service")}
	}
	return &mesh.StringMatch{Value: "/" + service + "/" + method, Span: t.At(n, "method")}
}
