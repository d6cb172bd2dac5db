package check

import (
	"fmt"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// expiries reports what was to end before Options.AsOf. It changes nothing in
// the mesh: new builds fail, what is live stays as it is.
func (c *checker) expiries() {
	for _, e := range c.in.Expiries {
		if c.opt.AsOf.IsZero() || c.opt.AsOf.Before(e.At) {
			continue
		}
		report(&c.now, e.Origin, diag.Diagnostic{
			Code: Expired, Severity: diag.Error, Span: e.Span,
			Message: fmt.Sprintf("%s expired at %s", e.What, e.At.UTC().Format(time.RFC3339)),
			Fix:     &diag.Fix{Message: "remove it, or write a later expires"},
		})
	}
}
