package envoymatch

import (
	"regexp"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Negation returns the expression of all values that m does not match. RE2 has
// no negation, so that there is one only for the exact value, the prefix and the
// suffix, of at most 256 characters and with their case.
func Negation(m mesh.StringMatch) (pattern string, ok bool) {
	if !m.Negatable() {
		return "", false
	}
	text := []rune(m.Value)
	switch m.Kind {
	case mesh.Exact:
		return differs(text, "(?s:.+)"), true
	case mesh.Prefix:
		return differs(text, nothing), true
	case mesh.Suffix:
		return endsOtherwise(text), true
	}
	return "", false
}

// nothing matches no text at all.
const nothing = `[^\s\S]`

// differs is the expression of what ends before text does, leaves it at one of
// its characters, or goes on after it as rest says.
func differs(text []rune, rest string) string {
	pattern := rest
	for _, c := range slices.Backward(text) {
		pattern = "(?:|" + other(c) + "(?s:.*)|" + regexp.QuoteMeta(string(c)) + pattern + ")"
	}
	return pattern
}

// endsOtherwise is differs for a suffix, read from its end.
func endsOtherwise(text []rune) string {
	pattern := nothing
	for _, c := range text {
		pattern = "(?:|(?s:.*)" + other(c) + "|" + pattern + regexp.QuoteMeta(string(c)) + ")"
	}
	return pattern
}

// other is the class of all characters but c.
func other(c rune) string {
	switch c {
	case '\\', ']', '[', '^', '-':
		return `[^\` + string(c) + `]`
	}
	return "[^" + string(c) + "]"
}
