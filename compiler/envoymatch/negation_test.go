package envoymatch

import (
	"regexp"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// TestNegation compares with the comparisons themselves.
func TestNegation(t *testing.T) {
	texts := []string{"", "a", "b", "ab", "ba", "aba", "abab", "aab", "a\nb", "]", "\\", "^", "-", "[", "a]", "]a", "é", "éa", "."}
	kinds := map[mesh.MatchKind]func(s, text string) bool{
		mesh.Exact:  func(s, text string) bool { return s == text },
		mesh.Prefix: strings.HasPrefix,
		mesh.Suffix: strings.HasSuffix,
	}
	for kind, holds := range kinds {
		for _, text := range texts {
			pattern, ok := Negation(mesh.StringMatch{Kind: kind, Value: text})
			if !ok {
				t.Fatalf("kind %v, %q has no negation", kind, text)
			}
			re := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
			for _, s := range texts {
				if re.MatchString(s) == holds(s, text) {
					t.Errorf("kind %v, %q: the negation %s is wrong about %q", kind, text, pattern, s)
				}
			}
		}
	}
}

func TestNoNegation(t *testing.T) {
	for _, m := range []mesh.StringMatch{
		{Kind: mesh.Regex, Value: "a"},
		{Kind: mesh.Contains, Value: "a"},
		{Kind: mesh.Exact, Value: "a", IgnoreCase: true},
		{Kind: mesh.Exact, Value: strings.Repeat("a", mesh.LongestNegation+1)},
	} {
		if pattern, ok := Negation(m); ok {
			t.Errorf("%v: got %s", m, pattern)
		}
	}
	longest, _ := Negation(mesh.StringMatch{Kind: mesh.Exact, Value: strings.Repeat("a", mesh.LongestNegation)})
	regexp.MustCompile(longest)
}
