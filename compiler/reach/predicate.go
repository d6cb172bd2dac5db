package reach

import (
	"net/netip"
	"regexp/syntax"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// predKind is how a predicate compares a value. Exact, prefix and segment are
// ranges of the sorted strings and so decided; the others are opaque.
type predKind uint8

const (
	predAny predKind = iota
	predExact
	predPrefix
	predSegment
	predRegex   // over the whole value
	predBlock   // CIDR
	predUnknown // nothing that a request says
)

// predicate of one value. Predicates that are == are the same.
type predicate struct {
	kind  predKind
	value string
}

func (p predicate) opaque() bool { return p.kind >= predRegex }

func (p predicate) holds(re *patterns, value string) bool {
	switch p.kind {
	case predAny:
		return true
	case predExact:
		return value == p.value
	case predPrefix:
		return strings.HasPrefix(value, p.value)
	case predSegment:
		return hasSegmentPrefix(value, p.value)
	case predRegex:
		return re.matches(p.value, value)
	case predBlock:
		addr, err := netip.ParseAddr(value)
		return err == nil && inBlock(p.value, addr) == yes
	}
	return false
}

// predicates returns alternatives that together mean m.
func predicates(m *mesh.StringMatch) []predicate {
	if m.IgnoreCase && asciiLower(m.Value) == strings.ToUpper(m.Value) {
		plain := *m // no letters, no case
		plain.IgnoreCase = false
		m = &plain
	}
	switch {
	case m.Kind == mesh.Present, m.Kind != mesh.Exact && m.Kind != mesh.Regex && m.Value == "":
		return []predicate{{kind: predAny}}
	case m.IgnoreCase, m.Kind >= mesh.Suffix:
		return regexPredicates(envoymatch.Pattern(*m))
	case m.Kind == mesh.Exact:
		return []predicate{{predExact, m.Value}}
	case m.Kind == mesh.Prefix:
		return []predicate{{predPrefix, m.Value}}
	}
	return []predicate{{predSegment, strings.TrimSuffix(m.Value, "/")}}
}

// maxAlternatives bounds what one expression is taken apart into.
const maxAlternatives = 16

// regexPredicates takes simple expressions apart: literals, literals followed by
// ".*", and alternatives of these. Others stay opaque.
func regexPredicates(pattern string) []predicate {
	opaque := []predicate{{predRegex, pattern}}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return opaque
	}
	branches := []*syntax.Regexp{strip(re)}
	if branches[0].Op == syntax.OpAlternate {
		branches = branches[0].Sub
	}
	if len(branches) > maxAlternatives {
		return opaque
	}
	out := make([]predicate, len(branches))
	for i, branch := range branches {
		p, ok := simple(strip(branch))
		if !ok {
			return opaque
		}
		out[i] = p
	}
	return out
}

// strip removes capturing groups, and anchors, which say nothing about a whole value.
func strip(re *syntax.Regexp) *syntax.Regexp {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op != syntax.OpConcat {
		return re
	}
	sub := re.Sub
	if len(sub) > 0 && sub[0].Op == syntax.OpBeginText {
		sub = sub[1:]
	}
	if n := len(sub); n > 0 && sub[n-1].Op == syntax.OpEndText {
		sub = sub[:n-1]
	}
	if len(sub) == 1 {
		return strip(sub[0])
	}
	return &syntax.Regexp{Op: syntax.OpConcat, Sub: sub, Flags: re.Flags}
}

func simple(re *syntax.Regexp) (predicate, bool) {
	switch {
	case re.Op == syntax.OpEmptyMatch:
		return predicate{predExact, ""}, true
	case isLiteral(re):
		return predicate{predExact, string(re.Rune)}, true
	case isAnything(re):
		return predicate{kind: predAny}, true
	case re.Op == syntax.OpConcat && len(re.Sub) == 2 && isLiteral(re.Sub[0]) && isAnything(re.Sub[1]):
		return predicate{predPrefix, string(re.Sub[0].Rune)}, true
	}
	return predicate{}, false
}

func isLiteral(re *syntax.Regexp) bool {
	return re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0
}

// isAnything: no value of a request holds a newline, so "." is any character.
func isAnything(re *syntax.Regexp) bool {
	return re.Op == syntax.OpStar &&
		(re.Sub[0].Op == syntax.OpAnyChar || re.Sub[0].Op == syntax.OpAnyCharNotNL)
}

// literalPrefix is what every value that an opaque predicate holds for starts with.
func (p predicate) literalPrefix() string {
	if p.kind != predRegex {
		return ""
	}
	re, err := syntax.Parse(p.value, syntax.Perl)
	if err != nil {
		return ""
	}
	re = strip(re)
	if re.Op == syntax.OpConcat && len(re.Sub) > 0 {
		re = re.Sub[0]
	}
	if isLiteral(re) {
		return string(re.Rune)
	}
	return ""
}

// examples returns values that an opaque predicate may hold for; callers check.
func (p predicate) examples() []string {
	switch p.kind {
	case predBlock:
		if prefix, err := netip.ParsePrefix(p.value); err == nil {
			return []string{prefix.Masked().Addr().Next().String(), prefix.Masked().Addr().String()}
		}
		return []string{p.value}
	case predRegex:
		re, err := syntax.Parse(p.value, syntax.Perl)
		if err != nil {
			return nil
		}
		return generate(re.Simplify(), 0)
	}
	return nil
}

const (
	maxExamples = 12
	maxDepth    = 24
)

// generate returns a few short strings of an expression.
func generate(re *syntax.Regexp, depth int) []string {
	if depth > maxDepth {
		return []string{""}
	}
	switch re.Op {
	case syntax.OpLiteral:
		return []string{string(re.Rune)}
	case syntax.OpCharClass:
		return classExamples(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return []string{"x"}
	case syntax.OpCapture, syntax.OpPlus:
		return generate(re.Sub[0], depth+1)
	case syntax.OpStar, syntax.OpQuest:
		return capped(append([]string{""}, generate(re.Sub[0], depth+1)...))
	case syntax.OpAlternate:
		var out []string
		for _, s := range re.Sub {
			out = append(out, generate(s, depth+1)...)
		}
		return capped(out)
	case syntax.OpConcat:
		return concatenate(re.Sub, depth)
	}
	return []string{""}
}

func concatenate(parts []*syntax.Regexp, depth int) []string {
	out := []string{""}
	for _, part := range parts {
		var next []string
		for _, tail := range generate(part, depth+1) {
			for _, head := range out {
				next = append(next, head+tail)
			}
		}
		out = capped(next)
	}
	return out
}

func capped(s []string) []string { return s[:min(len(s), maxExamples)] }

func classExamples(ranges []rune) []string {
	for _, wanted := range "ax1A-_./" {
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= wanted && wanted <= ranges[i+1] {
				return []string{string(wanted)}
			}
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	return []string{string(ranges[0])}
}
