package check

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"unicode/utf8"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

const (
	// maxProgram is re2.max_program_size.error_level of the bootstrap.
	maxProgram = 32768
	// maxRegex bounds the text, as Istio's webhook does.
	maxRegex = 1024
)

// checkRegexes reports the regular expressions of a rule that Envoy may refuse.
func (c *checker) checkRegexes(at *location, rule *mesh.Rule) {
	for i := range rule.Matches {
		for _, m := range regexesOf(&rule.Matches[i]) {
			c.checkRegex(at, m.Value, m.Span, rule.Span)
		}
	}
	if rule.Rewrite != nil && rule.Rewrite.Regex != "" {
		c.checkRegex(at, rule.Rewrite.Regex, rule.Rewrite.Span, rule.Span)
	}
	if rule.CORS != nil {
		for _, m := range rule.CORS.AllowOrigins {
			if m.Kind == mesh.Regex {
				c.checkRegex(at, m.Value, m.Span, rule.Span)
			}
		}
	}
}

func (c *checker) checkRegex(at *location, expr string, span, otherwise source.Span) {
	if problem := c.regexProblem(expr); problem != "" {
		if !span.IsValid() {
			span = otherwise
		}
		at.report(diag.Diagnostic{Code: RegexLimit, Severity: diag.Error, Span: span, Message: problem})
	}
}

// regexesOf lists the regular expressions of a match.
func regexesOf(m *mesh.Match) []mesh.StringMatch {
	var out []mesh.StringMatch
	add := func(s *mesh.StringMatch) {
		if s != nil && s.Kind == mesh.Regex {
			out = append(out, *s)
		}
	}
	add(m.Path)
	add(m.Scheme)
	add(m.Authority)
	for i := range m.Methods {
		add(&m.Methods[i])
	}
	for _, list := range [][]mesh.HeaderMatch{m.Headers, m.Query, m.Cookies} {
		for i := range list {
			add(&list[i].StringMatch)
		}
	}
	return out
}

// regexProblem asks once for each expression of this run and the last: compiling
// them is most of the cost of a policy that is otherwise unchanged.
func (c *checker) regexProblem(expr string) string {
	problem, known := c.regexes[expr]
	if known {
		return problem
	}
	if problem, known = c.prev.regexes[expr]; !known {
		problem = regexProblem(expr)
	}
	c.regexes[expr] = problem
	return problem
}

// knownRegexes are those that the next run need not compile: what this one asked
// for, and after a run over a few documents what was known before.
func (c *checker) knownRegexes() map[string]string {
	if c.amended == nil || len(c.prev.regexes) > 1000+4*len(c.in.Routes)+4*len(c.in.AccessPolicies) {
		return c.regexes
	}
	for expr := range c.regexes {
		if _, known := c.prev.regexes[expr]; !known {
			all := maps.Clone(c.prev.regexes)
			maps.Copy(all, c.regexes)
			return all
		}
	}
	return c.prev.regexes
}

// regexProblem says why Envoy may refuse an expression, "" where it will not.
func regexProblem(expr string) string {
	if expr == "" {
		return "the regular expression is empty, which Envoy refuses"
	}
	if len(expr) > maxRegex {
		return fmt.Sprintf("the regular expression has %d bytes, more than %d", len(expr), maxRegex)
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return fmt.Sprintf("%q is not an RE2 expression: %v", expr, err)
	}
	if problem := re2Problem(expr); problem != "" {
		return fmt.Sprintf("the regular expression %q: %s", shorten(expr), problem)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return fmt.Sprintf("%q does not compile: %v", expr, err)
	}
	if size := programBound(prog); size > maxProgram {
		return fmt.Sprintf("the regular expression %q may compile to %d instructions, more than Envoy's limit of %d", shorten(expr), size, maxProgram)
	}
	return ""
}

// programBound is an upper bound of the size of RE2's program, which Go cannot
// compute: RE2 works on bytes, so a range of characters beyond ASCII becomes up
// to two dozen byte ranges.
func programBound(prog *syntax.Prog) int {
	const unicodeRange = 24
	size := 0
	for i := range prog.Inst {
		in := &prog.Inst[i]
		size += 2
		switch in.Op {
		case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			size += unicodeRange
		case syntax.InstRune, syntax.InstRune1:
			for _, r := range in.Rune {
				if r < utf8.RuneSelf {
					size++
				} else {
					size += unicodeRange / 2
				}
			}
		}
	}
	return size
}

func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
