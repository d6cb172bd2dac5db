package check

import (
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// maxAbsences bounds the inverted headers of a match that hold for an absent header
// and not for an empty one. Envoy's HeaderMatcher takes both for the empty value
// (treat_missing_header_as_empty), so each of them doubles the routes of the match.
const maxAbsences = 4

// checkAbsences reports matches that would become too many routes of Envoy.
func (at *location) checkAbsences(rule *mesh.Rule) {
	for i := range rule.Matches {
		found := 0
		for _, h := range rule.Matches[i].Headers {
			if !h.Invert || h.Kind == mesh.Present || !envoymatch.TakesEmpty(h.StringMatch) {
				continue
			}
			if found++; found <= maxAbsences {
				continue
			}
			span := h.Span
			if !span.IsValid() {
				span = rule.Span
			}
			at.report(diag.Diagnostic{
				Code: Unsupported, Severity: diag.Error, Span: span,
				Message: fmt.Sprintf("more than %d inverted headers of this match compare with what the empty value also matches: each doubles the routes of Envoy; write patterns that do not match it, such as .+ for .*", maxAbsences),
			})
			break
		}
	}
}
