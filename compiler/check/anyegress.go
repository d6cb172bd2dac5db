package check

import (
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

const allowAny = "allow-any"

// anyEgress reports proxies that are to reach any address and are asked
// explicitly: they learn no original destination and answer 502.
func (c *checker) anyEgress() {
	c.meshAnyEgress()
	for _, n := range c.nodes {
		if n.server == nil || n.server.Capture != mesh.CaptureNone {
			continue
		}
		egress := func(w *mesh.Workload) string { return w.EgressMode }
		if said(n, egress) != allowAny {
			continue
		}
		for _, doc := range n.written() {
			if doc.EgressMode != allowAny {
				continue
			}
			report(&c.diags, doc.Origin, diag.Diagnostic{
				Code: Unsupported, Severity: diag.Error,
				Message: fmt.Sprintf("workload %s may reach any address, but has capture none: its proxy does not learn where a connection was going, and answers 502", n.key),
				Fix:     &diag.Fix{Message: "write capture: redirect, or egress mode registry-only and an ExternalService for each host"},
			})
			break
		}
	}
}

// meshAnyEgress: a default is no mistake, for workloads may have another capture.
func (c *checker) meshAnyEgress() {
	doc := c.set.document
	if doc == nil || doc.EgressMode != allowAny {
		return
	}
	if doc.Capture == mesh.CaptureRedirect || doc.Capture == "" && c.set.Defaults != mesh.Native {
		return
	}
	report(&c.diags, doc.Origin, diag.Diagnostic{
		Code: Unsupported, Severity: diag.Info,
		Message: "egress mode allow-any holds for workloads with capture redirect alone: proxies with capture none answer 502 for hosts that they do not know",
	})
}
