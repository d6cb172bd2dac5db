package mesh

import "unicode/utf8"

// LongestNegation bounds the characters of a negated text: each is a nested
// group of an expression, and RE2 reads at most 1000 of them.
const LongestNegation = 256

// Negatable reports whether an RE2 expression, which has no negation, can say
// that m does not match: an exact value, a prefix or a suffix, with its case.
func (m StringMatch) Negatable() bool {
	return (m.Kind == Exact || m.Kind == Prefix || m.Kind == Suffix) &&
		!m.IgnoreCase && utf8.RuneCountInString(m.Value) <= LongestNegation
}
