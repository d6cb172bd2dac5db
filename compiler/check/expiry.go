package check

import (
	"fmt"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// expiries reports what was to end before Options.AsOf. It changes nothing in
// the mesh: new builds fail, what is live stays as it is.
func (c *checker) expiries() {
	if c.opt.AsOf.IsZero() {
		return
	}
	if doc := c.set.document; doc != nil {
		for _, ns := range doc.NamespaceAllow {
			c.expiry(doc.Origin, ns.Span, ns.Expires, "the open namespace "+ns.Name)
		}
	}
	for _, p := range c.in.PeerPolicies {
		c.expiry(p.Origin, p.Span, p.Expires, "the permissive mode")
	}
	for _, r := range c.in.Routes {
		for _, rule := range r.Rules {
			if rule.Fault != nil {
				c.expiry(r.Origin, rule.Fault.Span, rule.Fault.Expires, fmt.Sprintf("the fault of rule %q", rule.Name))
			}
		}
	}
}

func (c *checker) expiry(o mesh.Origin, at source.Span, expires time.Time, what string) {
	if expires.IsZero() || c.opt.AsOf.Before(expires) {
		return
	}
	report(&c.diags, o, diag.Diagnostic{
		Code: Expired, Severity: diag.Error, Span: at,
		Message: fmt.Sprintf("%s expired at %s", what, expires.UTC().Format(time.RFC3339)),
		Fix:     &diag.Fix{Message: "remove it, or set a later expires"},
	})
}
