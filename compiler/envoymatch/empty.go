package envoymatch

import (
	"regexp"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// TakesEmpty reports whether the empty value matches, which Envoy's HeaderMatcher also
// takes an absent header for where it is told to (treat_missing_header_as_empty).
func TakesEmpty(m mesh.StringMatch) bool {
	if m.Kind != mesh.Regex {
		return m.Value == ""
	}
	// What Go's RE2 cannot read, package check refuses.
	ok, err := regexp.MatchString(`\A(?:`+m.Value+`)\z`, "")
	return err == nil && ok
}
