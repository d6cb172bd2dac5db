package check

import (
	"fmt"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// checkLineBreaks reports what would end the line of a header. The dialects judge
// paths and hosts; these are texts that become a part of a path (Envoy's constraint
// HTTP_HEADER_VALUE on RedirectAction.prefix_rewrite and
// RegexMatchAndSubstitute.substitution).
func (at *location) checkLineBreaks(rule *mesh.Rule) {
	if r := rule.Redirect; r != nil && r.PrefixRewrite != nil {
		at.oneLine("the redirect's prefix", r.Span, *r.PrefixRewrite)
	}
	if r := rule.Rewrite; r != nil {
		at.oneLine("the substitution", r.Span, r.Substitute)
	}
}

func (at *location) oneLine(what string, span source.Span, text string) {
	if strings.ContainsAny(text, "\x00\r\n") {
		at.report(diag.Diagnostic{
			Code: Unsupported, Severity: diag.Error, Span: span,
			Message: fmt.Sprintf("%s %q would end the line of a header", what, text),
			Fix:     &diag.Fix{Message: "write it without line breaks and NUL"},
		})
	}
}
