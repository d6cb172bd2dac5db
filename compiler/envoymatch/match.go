// Package envoymatch says the mesh model's comparisons in Envoy's words, for
// routes and for RBAC alike, so that the two cannot differ.
//
// In: comparisons of package mesh. Out: Envoy's matcher messages. It decides
// nothing and knows neither routes nor rules.
package envoymatch

import (
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// String returns the matcher of one value. Envoy's StringMatcher knows no
// segments, templates or presence: a segment prefix, and anything else that it
// has no word for, becomes the regular expression that means the same.
func String(m mesh.StringMatch) *matcherv3.StringMatcher {
	out := &matcherv3.StringMatcher{IgnoreCase: m.IgnoreCase}
	switch m.Kind {
	case mesh.Exact:
		out.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: m.Value}
	case mesh.Prefix:
		if m.Value == "" { // an empty prefix fails Envoy's constraints; it means anything
			return regex("(?s).*")
		}
		out.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: m.Value}
	case mesh.Suffix:
		if m.Value == "" {
			return regex("(?s).*")
		}
		out.MatchPattern = &matcherv3.StringMatcher_Suffix{Suffix: m.Value}
	case mesh.Contains:
		if m.Value == "" {
			return regex("(?s).*")
		}
		out.MatchPattern = &matcherv3.StringMatcher_Contains{Contains: m.Value}
	default:
		return regex(Pattern(m))
	}
	return out
}

func regex(pattern string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: Regex(pattern)}}
}

// Regex returns a RE2 matcher. Envoy compares the whole value.
func Regex(pattern string) *matcherv3.RegexMatcher {
	return &matcherv3.RegexMatcher{Regex: pattern}
}

// Pattern returns a RE2 expression over the whole value that means the same as m.
func Pattern(m mesh.StringMatch) string {
	quoted := regexp.QuoteMeta(m.Value)
	var p string
	switch m.Kind {
	case mesh.Exact:
		p = quoted
	case mesh.Prefix:
		p = quoted + "(?s:.*)"
	case mesh.SegmentPrefix:
		p = segmentPattern(m.Value)
	case mesh.Suffix:
		p = "(?s:.*)" + quoted
	case mesh.Contains:
		p = "(?s:.*)" + quoted + "(?s:.*)"
	case mesh.Template:
		p = TemplatePattern(m.Value)
	case mesh.Regex:
		p = m.Value
	case mesh.Present:
		p = "(?s:.*)"
	}
	if m.IgnoreCase {
		return "(?i:" + p + ")"
	}
	return p
}

func segmentPattern(prefix string) string {
	base := strings.TrimSuffix(prefix, "/")
	if base == "" {
		return "/(?s:.*)"
	}
	return regexp.QuoteMeta(base) + "(?:/(?s:.*))?"
}

// TemplatePattern returns the expression of a path template: "{name}" and "*"
// are one segment, "**" and "{name=**}" any rest, as in Envoy's URI template
// (extensions.path.match.uri_template). "{*}" and "{**}" are Istio's spelling.
func TemplatePattern(template string) string {
	var b strings.Builder
	for i, segment := range strings.Split(template, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(templateSegment(segment))
	}
	return b.String()
}

const (
	oneSegment  = "[^/]+"
	anySegments = ".*"
)

func templateSegment(segment string) string {
	inner, braced := strings.CutPrefix(segment, "{")
	if braced && strings.HasSuffix(inner, "}") {
		inner = strings.TrimSuffix(inner, "}")
		if _, pattern, ok := strings.Cut(inner, "="); ok {
			inner = pattern
		} else if inner != "**" {
			inner = "*"
		}
		segment = inner
	}
	switch segment {
	case "*":
		return oneSegment
	case "**":
		return anySegments
	}
	return regexp.QuoteMeta(segment)
}

// Header returns the matcher of one header. An inverted comparison of a value
// also holds where the header is absent, so absence counts as the empty value
// (treat_missing_header_as_empty): Envoy would otherwise never match it.
func Header(h mesh.HeaderMatch) *routev3.HeaderMatcher {
	out := &routev3.HeaderMatcher{Name: h.Name}
	if h.Kind == mesh.Present {
		// present_match false means "absent"; invert_match would say it twice.
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: !h.Invert}
		return out
	}
	out.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: String(h.StringMatch)}
	out.InvertMatch, out.TreatMissingHeaderAsEmpty = h.Invert, h.Invert
	return out
}

// AnyOf returns the header matchers of which one must hold, as one matcher: the
// values themselves where there is one, otherwise their alternation.
func AnyOf(header string, values []mesh.StringMatch) *routev3.HeaderMatcher {
	if len(values) == 1 {
		return Header(mesh.HeaderMatch{Name: header, StringMatch: values[0]})
	}
	patterns := make([]string, len(values))
	for i, v := range values {
		patterns[i] = "(?:" + Pattern(v) + ")"
	}
	return &routev3.HeaderMatcher{
		Name: header,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{
			StringMatch: regex(strings.Join(patterns, "|")),
		},
	}
}
