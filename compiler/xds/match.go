package xds

import (
	"fmt"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// routeMatches returns the Envoy matches that together mean m: more than one
// where an inverted comparison needs a match of its own for what is absent.
func (p *packer) routeMatches(m *mesh.Match) []*routev3.RouteMatch {
	out := []*routev3.RouteMatch{p.routeMatch(m)}
	for _, h := range headerMatches(m) {
		out = addHeader(out, h)
	}
	for i := range m.Query {
		out = p.addQuery(out, &m.Query[i])
	}
	return out
}

func (p *packer) routeMatch(m *mesh.Match) *routev3.RouteMatch {
	out := &routev3.RouteMatch{}
	setPath(out, m.Path)
	if m.GRPC {
		out.Grpc = &routev3.RouteMatch_GrpcRouteMatchOptions{}
	}
	if len(m.Methods) > 0 {
		out.Headers = append(out.Headers, envoymatch.AnyOf(":method", m.Methods))
	}
	for _, c := range m.Cookies {
		out.Cookies = append(out.Cookies, cookieMatch(c))
	}
	return out
}

func headerMatches(m *mesh.Match) []mesh.HeaderMatch {
	var all []mesh.HeaderMatch
	if m.Scheme != nil {
		all = append(all, mesh.HeaderMatch{Name: ":scheme", StringMatch: *m.Scheme})
	}
	if m.Authority != nil {
		all = append(all, mesh.HeaderMatch{Name: ":authority", StringMatch: *m.Authority})
	}
	return append(all, m.Headers...)
}

// addHeader adds a header's condition to every match. An inverted comparison
// holds for an absent header, which Envoy only knows as the empty value; where
// the pattern matches the empty value too, absence becomes a match of its own.
func addHeader(matches []*routev3.RouteMatch, h mesh.HeaderMatch) []*routev3.RouteMatch {
	matcher := envoymatch.Header(h)
	var absent []*routev3.RouteMatch
	if h.Invert && h.Kind != mesh.Present && envoymatch.TakesEmpty(h.StringMatch) {
		matcher.TreatMissingHeaderAsEmpty = false
		missing := envoymatch.Header(mesh.HeaderMatch{Name: h.Name, Invert: true, StringMatch: mesh.StringMatch{Kind: mesh.Present}})
		for _, m := range matches {
			absent = append(absent, withHeader(m, missing))
		}
	}
	for i, m := range matches {
		matches[i] = withHeader(m, matcher)
	}
	return append(matches, absent...)
}

// withHeader shares all but the list of headers.
func withHeader(m *routev3.RouteMatch, h *routev3.HeaderMatcher) *routev3.RouteMatch {
	headers := append(m.Headers[:len(m.Headers):len(m.Headers)], h)
	return &routev3.RouteMatch{
		PathSpecifier: m.PathSpecifier, CaseSensitive: m.CaseSensitive, Grpc: m.Grpc,
		QueryParameters: m.QueryParameters, Cookies: m.Cookies, Headers: headers,
	}
}

// setPath says a path's comparison by Envoy's own word for it. No path is any path.
func setPath(out *routev3.RouteMatch, path *mesh.StringMatch) {
	if path == nil || path.Kind == mesh.Present {
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
		return
	}
	switch path.Kind {
	case mesh.Exact:
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: path.Value}
	case mesh.Prefix:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: path.Value}
	case mesh.SegmentPrefix:
		setSegmentPrefix(out, path.Value)
	default:
		// Templates too: their expression is the one that access rules use, so
		// that a path which a route takes is the path that a rule allows.
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: envoymatch.Regex(envoymatch.Pattern(*path))}
		return
	}
	if path.IgnoreCase {
		out.CaseSensitive = wrapperspb.Bool(false)
	}
}

// setSegmentPrefix: Envoy's path_separated_prefix may neither end in "/" nor be
// "/" itself; "/search/" means what "/search" means.
func setSegmentPrefix(out *routev3.RouteMatch, prefix string) {
	prefix = strings.TrimRight(prefix, "/")
	if prefix == "" {
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
		return
	}
	out.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: prefix}
}

// addQuery adds a query parameter's condition to every match. Envoy's
// QueryParameterMatcher has no invert_match: the negation of a value is the
// parameter's absence, a match of its own, or a value that is another one.
func (p *packer) addQuery(matches []*routev3.RouteMatch, q *mesh.HeaderMatch) []*routev3.RouteMatch {
	ways := []*routev3.QueryParameterMatcher{p.queryMatch(q)}
	if q.Invert && q.Kind != mesh.Present {
		ways = append(ways, queryPresent(q.Name, false))
	}
	var out []*routev3.RouteMatch
	for _, way := range ways {
		for _, m := range matches {
			out = append(out, withQuery(m, way))
		}
	}
	return out
}

// withQuery shares all but the list of query parameters.
func withQuery(m *routev3.RouteMatch, q *routev3.QueryParameterMatcher) *routev3.RouteMatch {
	return &routev3.RouteMatch{
		PathSpecifier: m.PathSpecifier, CaseSensitive: m.CaseSensitive, Grpc: m.Grpc,
		QueryParameters: append(m.QueryParameters[:len(m.QueryParameters):len(m.QueryParameters)], q),
		Cookies:         m.Cookies, Headers: m.Headers,
	}
}

// queryMatch compares a parameter that is there.
func (p *packer) queryMatch(q *mesh.HeaderMatch) *routev3.QueryParameterMatcher {
	value := q.StringMatch
	switch {
	case q.Kind == mesh.Present:
		return queryPresent(q.Name, !q.Invert)
	case q.Invert:
		pattern, ok := envoymatch.Negation(value)
		if !ok {
			p.fail(fmt.Errorf("query parameter %q: Envoy cannot negate its comparison", q.Name))
		}
		value = mesh.StringMatch{Kind: mesh.Regex, Value: pattern}
	}
	return &routev3.QueryParameterMatcher{
		Name: q.Name,
		QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{
			StringMatch: envoymatch.String(value),
		},
	}
}

func queryPresent(name string, present bool) *routev3.QueryParameterMatcher {
	return &routev3.QueryParameterMatcher{
		Name:                         name,
		QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: present},
	}
}

// cookieMatch: an absent cookie makes Envoy's comparison false, so that an
// inverted one holds.
func cookieMatch(c mesh.HeaderMatch) *routev3.CookieMatcher {
	return &routev3.CookieMatcher{Name: c.Name, StringMatch: envoymatch.String(c.StringMatch), InvertMatch: c.Invert}
}
