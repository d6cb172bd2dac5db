package policytest

import (
	"fmt"
	"io"
	"strings"
)

// Text writes the results as `mesh-compile test` prints them: failures with
// everything that decided, passed cases only where verbose, and a summary. dir is
// put before file names, so that they can be opened from where the command was
// called.
func Text(w io.Writer, results []Result, dir string, verbose bool) error {
	var b strings.Builder
	failed := 0
	for i := range results {
		r := &results[i]
		switch {
		case !r.Passed():
			failed++
			fmt.Fprintf(&b, "FAIL %s: %s: %q\n", r.Case.Span.Below(dir), r.Test.Object(), r.Case.Name)
			for _, f := range r.Failures {
				fmt.Fprintf(&b, "\t%s\n", f.text(dir))
			}
		case verbose:
			fmt.Fprintf(&b, "ok   %s: %s: %q\n", r.Case.Span.Below(dir), r.Test.Object(), r.Case.Name)
		}
	}
	fmt.Fprintf(&b, "%d of %d cases hold\n", len(results)-failed, len(results))
	_, err := io.WriteString(w, b.String())
	return err
}
