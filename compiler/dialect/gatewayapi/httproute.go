package gatewayapi

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func (t *translator) httpRoute(spec *load.Node) {
	t.route(spec, t.httpRule, func(route *mesh.Route) {
		// The API server writes one rule for "/" without backends.
		r := &mesh.Rule{Name: "#1", ID: route.ID() + "/#1", Span: t.At(spec, "rules"), Matches: []mesh.Match{{Precedence: rank(&mesh.Match{}), Span: t.At(spec, "rules")}}}
		t.unanswered(spec, r, 500)
		route.Rules = []*mesh.Rule{r}
	})
}

func (t *translator) httpRule(n *load.Node, r *mesh.Rule) {
	for _, m := range n.ItemsOf("matches") {
		r.Matches = append(r.Matches, t.httpMatch(m))
	}
	if len(r.Matches) == 0 {
		r.Matches = []mesh.Match{{Precedence: rank(&mesh.Match{}), Span: r.Span}}
	}
	t.filters(n, r)
	t.backends(n, r)
	t.unanswered(n, r, 500)
	if !t.guards {
		t.timeouts(n, r)
	}
}

// httpMatch reads one match. No path is the prefix "/", which is every path.
func (t *translator) httpMatch(n *load.Node) mesh.Match {
	m := mesh.Match{Path: t.path(n.Get("path")), Span: n.Span}
	t.headers(n, &m)
	t.queryParams(n, &m)
	if v := n.Get("method"); v != nil {
		method := t.choice(n, "method", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
		m.Methods = []mesh.StringMatch{{Value: method, Span: v.Span}}
	}
	m.Precedence = rank(&m)
	return m
}

// Ranks of the ways to match a path. The specification leaves regular expressions
// to the implementation: they come after exact paths and before prefixes, however
// long, as Envoy Gateway has them, since a prefix "/" would hide them all.
const (
	rankPrefix uint32 = iota
	rankRegex
	rankExact
)

// rank is the order of matches that HTTPRouteRule.matches demands: the exact path,
// the longest prefix, the method, the number of headers, that of query parameters.
func rank(m *mesh.Match) []uint32 {
	kind, length := rankPrefix, 0
	if m.Path != nil {
		length = len(m.Path.Value)
		switch m.Path.Kind {
		case mesh.Exact:
			kind = rankExact
		case mesh.Regex:
			kind = rankRegex
		default: // "/a/" is the prefix "/a"
			length = len(strings.TrimRight(m.Path.Value, "/"))
		}
	}
	return []uint32{kind, uint32(length), uint32(len(m.Methods)), headersOf(m), uint32(len(m.Query))} //nolint:gosec // a document is shorter
}

// path reads a path match. The prefix "/" is no condition.
func (t *translator) path(n *load.Node) *mesh.StringMatch {
	if n == nil {
		return nil
	}
	m := &mesh.StringMatch{Value: textOr(n, "value", "/"), Span: t.At(n, "value")}
	switch t.choice(n, "type", "PathPrefix", "Exact", "RegularExpression") {
	case "RegularExpression":
		m.Kind = mesh.Regex
		return m
	case "PathPrefix":
		m.Kind = mesh.SegmentPrefix
	}
	t.literalPath(m)
	if m.Kind == mesh.SegmentPrefix && m.Value == "/" {
		return nil
	}
	return m
}

var pathCharacters = regexp.MustCompile(`^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$`)

// literalPath refuses what the API server does (HTTPPathMatch), and what no request
// has after normalization.
func (t *translator) literalPath(m *mesh.StringMatch) {
	lower, why := strings.ToLower(m.Value), ""
	switch {
	case translate.Placeholder(m.Value):
	case !strings.HasPrefix(m.Value, "/"):
		why = "a path begins with /"
	case strings.Contains(m.Value, "?"):
		why = "the query is no part of it: match it with queryParams"
	case strings.Contains(m.Value, "#"):
		why = "a fragment is never sent"
	case strings.Contains(m.Value, "//"):
		why = "double slashes are merged before the match"
	case strings.Contains(m.Value+"/", "/./") || strings.Contains(m.Value+"/", "/../"):
		why = "dot segments are resolved before the match"
	case strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c"):
		why = "paths with escaped slashes or backslashes never get this far"
	case len(m.Value) > 1024:
		why = "want at most 1024 characters"
	case !pathCharacters.MatchString(m.Value):
		why = "clients send other characters percent-encoded"
	}
	if why != "" {
		t.Wrong(m.Span, "path %q: %s", m.Value, why)
	}
}

// queryParams reads matches of query parameters. Of two with one name the first
// counts (HTTPQueryParamMatch.name).
func (t *translator) queryParams(n *load.Node, m *mesh.Match) {
	for _, q := range n.ItemsOf("queryParams") {
		name := q.TextOf("name")
		if slices.ContainsFunc(m.Query, func(h mesh.HeaderMatch) bool { return h.Name == name }) {
			t.Warn(t.At(q, "name"), "query parameter %s is written twice: only the first counts", name)
			continue
		}
		m.Query = append(m.Query, mesh.HeaderMatch{Name: name, StringMatch: t.value(q)})
	}
}

// timeouts reads timeouts and retry. backendRequest bounds each try; where nothing
// is repeated there is one try, and the shorter of the two counts.
func (t *translator) timeouts(n *load.Node, r *mesh.Rule) {
	times := n.Get("timeouts")
	request, each := t.Duration(times, "request", 0), t.Duration(times, "backendRequest", 0)
	if request != nil && each != nil && *request > 0 && *each > *request {
		t.Wrong(t.At(times, "backendRequest"), "backendRequest %s is longer than request %s, which covers all tries", *each, *request)
	}
	if r.Redirect != nil || r.Respond != nil {
		for _, key := range []string{"timeouts", "retry"} {
			if f := n.Field(key); f != nil && r.Redirect != nil {
				t.Warn(f.KeySpan, "%s has no effect beside RequestRedirect: the request is not sent on", key)
			}
		}
		return
	}
	r.Retry = t.retry(n.Get("retry"))
	if request != nil {
		r.Timeout = &mesh.Timeout{Value: *request, Span: t.At(times, "request")}
	}
	switch {
	case each == nil || *each == 0:
	case r.Retry != nil:
		r.Retry.PerTry = each
		if request == nil { // the tries bound the whole
			r.Timeout = &mesh.Timeout{Span: t.At(times, "backendRequest")}
		}
	case request == nil || *request == 0 || *each < *request:
		r.Timeout = &mesh.Timeout{Value: *each, Span: t.At(times, "backendRequest")}
	}
}

// retryConditions are what HTTPRouteRetry wants repeated with any retry: connection
// errors (disconnect, reset, timeout, TCP failure).
var retryConditions = []string{"connect-failure", "refused-stream", "reset"}

// retry repeats every method, since the specification names none. Without attempts,
// which are left to the implementation, there is one more try.
func (t *translator) retry(n *load.Node) *mesh.Retry {
	if n == nil {
		return nil
	}
	r := &mesh.Retry{Attempts: 1, Conditions: retryConditions, BackoffBase: t.Duration(n, "backoff", 1), Span: n.Span}
	if attempts, ok := t.number(n, "attempts", 1, math.MaxInt32); ok {
		r.Attempts = attempts
	}
	for _, v := range n.ItemsOf("codes") {
		code, ok := t.bounded(v, "code", 400, 599)
		switch {
		case !ok:
		case slices.Contains(r.Statuses, code):
			t.Warn(v.Span, "code %d is written twice", code)
		default:
			r.Statuses = append(r.Statuses, code)
		}
	}
	return r
}
