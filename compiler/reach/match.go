package reach

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// patterns keeps compiled regular expressions. It is safe for concurrent use.
type patterns struct {
	mu       sync.RWMutex
	compiled map[string]*regexp.Regexp
}

func newPatterns() *patterns { return &patterns{compiled: map[string]*regexp.Regexp{}} }

// matches compares the whole of value. A pattern that does not compile matches
// nothing; package check refuses it.
func (p *patterns) matches(pattern, value string) bool {
	p.mu.RLock()
	re, ok := p.compiled[pattern]
	p.mu.RUnlock()
	if !ok {
		re, _ = regexp.Compile(`\A(?:` + pattern + `)\z`)
		p.mu.Lock()
		p.compiled[pattern] = re
		p.mu.Unlock()
	}
	return re != nil && re.MatchString(value)
}

// value compares one string, the way envoymatch tells Envoy to.
func (p *patterns) value(m *mesh.StringMatch, value string) bool {
	want := m.Value
	if m.Kind == mesh.Regex || m.Kind == mesh.Template {
		return p.matches(envoymatch.Pattern(*m), value)
	}
	if m.IgnoreCase {
		want, value = asciiLower(want), asciiLower(value)
	}
	switch m.Kind {
	case mesh.Exact:
		return value == want
	case mesh.Prefix:
		return strings.HasPrefix(value, want)
	case mesh.SegmentPrefix:
		return hasSegmentPrefix(value, want)
	case mesh.Suffix:
		return strings.HasSuffix(value, want)
	case mesh.Contains:
		return strings.Contains(value, want)
	}
	return true // Present
}

func hasSegmentPrefix(value, prefix string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, ok := strings.CutPrefix(value, prefix)
	return ok && (rest == "" && prefix != "" || strings.HasPrefix(rest, "/"))
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func (p *patterns) anyOf(alternatives []mesh.StringMatch, value string) bool {
	return slices.ContainsFunc(alternatives, func(m mesh.StringMatch) bool { return p.value(&m, value) })
}

// header compares a header in an access rule. Where an inverted comparison of a
// value meets no header, absence counts as the empty value
// (treat_missing_header_as_empty), which differs from parameter for comparisons
// that hold for the empty value.
func (p *patterns) header(h *mesh.HeaderMatch, values []string) bool {
	switch {
	case h.Kind == mesh.Present:
		return len(values) > 0 != h.Invert
	case len(values) == 0 && !h.Invert:
		return false
	case len(values) == 0:
		values = []string{""}
	}
	return p.some(h, values) != h.Invert
}

// parameter compares a route's header, query parameter or cookie: an inverted
// comparison holds where it is absent (Envoy CookieMatcher.invert_match).
func (p *patterns) parameter(h *mesh.HeaderMatch, values []string) bool {
	return p.some(h, values) != h.Invert
}

// some: Envoy compares each line of a header that has several, and one is enough
// (envoy.reloadable_features.match_headers_individually and its RBAC twin).
func (p *patterns) some(h *mesh.HeaderMatch, values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return p.value(&h.StringMatch, v) })
}

// match reports whether m holds for a request, apart from who calls and the
// port, which are decided before.
func (p *patterns) match(m *mesh.Match, r *message) bool {
	switch {
	case m.Path != nil && !p.value(m.Path, r.path),
		len(m.Methods) > 0 && !p.anyOf(m.Methods, r.method),
		m.Scheme != nil && !p.value(m.Scheme, r.scheme),
		m.Authority != nil && !p.value(m.Authority, r.authority),
		m.GRPC && !isGRPC(r):
		return false
	}
	return p.all(m.Headers, r.values, p.parameter) &&
		p.all(m.Query, first(r.queryValue), p.parameter) &&
		p.all(m.Cookies, first(r.cookie), p.parameter)
}

// first makes the one value that counts a list.
func first(get func(string) (string, bool)) func(string) []string {
	return func(name string) []string {
		if value, ok := get(name); ok {
			return []string{value}
		}
		return nil
	}
}

func (p *patterns) all(
	conditions []mesh.HeaderMatch,
	get func(string) []string,
	holds func(*mesh.HeaderMatch, []string) bool,
) bool {
	for i := range conditions {
		if !holds(&conditions[i], get(conditions[i].Name)) {
			return false
		}
	}
	return true
}

// isGRPC is Envoy's Grpc::Common::isGrpcRequestHeaders.
func isGRPC(r *message) bool {
	contentType, _ := r.header("content-type")
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+')
}
