package authz

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func matchers(values []mesh.StringMatch) *ast.Term {
	return ast.ArrayTerm(mapped(values, func(m mesh.StringMatch) *ast.Term { return matcher(m) })...)
}

// matcher is a comparison in the words of policies/lib/match.rego.
func matcher(m mesh.StringMatch, more ...[2]*ast.Term) *ast.Term {
	if m.Kind == mesh.Present {
		return ast.ObjectTerm(append(more, isTrue("present"))...)
	}
	key, word := comparisons[m.Kind], m.Value
	switch {
	case key == "": // a regular expression over the whole value
		key, word = "regex", `\A(?:`+envoymatch.Pattern(m)+`)\z`
	case m.IgnoreCase:
		word = lowerASCII(word)
		more = append(more, isTrue("ignore_case"))
	}
	if m.Kind == mesh.SegmentPrefix {
		word = strings.TrimSuffix(word, "/")
	}
	return ast.ObjectTerm(append(more, ast.Item(ast.StringTerm(key), ast.StringTerm(word)))...)
}

// comparisons are the library's keys; other kinds are regular expressions.
var comparisons = map[mesh.MatchKind]string{
	mesh.Exact: "exact", mesh.Prefix: "prefix", mesh.Suffix: "suffix",
	mesh.Contains: "contains", mesh.SegmentPrefix: "segment_prefix",
}

func isTrue(name string) [2]*ast.Term { return ast.Item(ast.StringTerm(name), ast.BooleanTerm(true)) }

// lowerASCII is the library's and Envoy's idea of case.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
