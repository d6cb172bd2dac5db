package check

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// re2Problem says why Envoy refuses an expression that Go's regexp reads, "" where
// it does not. Envoy's RE2 takes patterns as Latin-1 (it knows no character above
// \xFF), and Go reads more names of classes than RE2 does
// (https://github.com/google/re2/wiki/Syntax). An escape that Go refuses has no
// place here.
func re2Problem(expr string) string {
	for {
		_, rest, more := strings.Cut(expr, `\`)
		if !more {
			return ""
		}
		size, problem := escapeProblem(rest)
		if problem != "" {
			return problem
		}
		expr = rest[size:]
	}
}

// escapeProblem judges the escape that a backslash before s begins, and returns its size.
func escapeProblem(s string) (size int, problem string) {
	switch s[0] {
	case 'Q':
		return quotation(s)
	case 'p', 'P':
		return classProblem(s)
	case 'x':
		if digits, _, braced := strings.Cut(strings.TrimPrefix(s, "x{"), "}"); braced && strings.HasPrefix(s, "x{") {
			return len("x{}") + len(digits), codeProblem(s[:len("x{}")+len(digits)], digits, 16)
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		digits := octal(s)
		return len(digits), codeProblem(digits, digits, 8)
	}
	_, size = utf8.DecodeRuneInString(s)
	return size, ""
}

// quotation demands the \E of a \Q: whatever is written around an expression
// (alternatives, ignored case) would else be quoted with it.
func quotation(s string) (size int, problem string) {
	quoted, _, closed := strings.Cut(s, `\E`)
	if !closed {
		return 0, `its \Q has no \E: write one`
	}
	return len(quoted) + len(`\E`), ""
}

func codeProblem(escape, digits string, base int) string {
	if code, err := strconv.ParseUint(digits, base, 32); err == nil && code <= unicode.MaxLatin1 {
		return ""
	}
	return fmt.Sprintf(`Envoy compares bytes and knows no \%s: the last is \xFF`, escape)
}

// octal returns the up to three octal digits that s begins with.
func octal(s string) string {
	end := 1
	for end < min(len(s), 3) && '0' <= s[end] && s[end] <= '7' {
		end++
	}
	return s[:end]
}

func classProblem(s string) (size int, problem string) {
	name := s[1:]
	if strings.HasPrefix(name, "{") {
		name, _, _ = strings.Cut(name[1:], "}")
		size = len("p{}") + len(name)
	} else {
		_, width := utf8.DecodeRuneInString(name)
		name, size = name[:width], 1+width
	}
	if isRE2Class(strings.TrimPrefix(name, "^")) {
		return size, ""
	}
	return size, fmt.Sprintf(`Envoy's RE2 knows no class \%s: write a script or a category of one or two letters, such as \p{Greek} or \p{Lu}`, s[:size])
}

// isRE2Class reports whether RE2 knows a class by exactly this name. Go has
// aliases, ignores case, and knows two categories besides.
func isRE2Class(name string) bool {
	if name == "LC" || name == "Cn" {
		return false
	}
	_, category := unicode.Categories[name]
	_, script := unicode.Scripts[name]
	return name == "Any" || category || script
}
