// Package waiver finds waivers that no longer accept anything.
package waiver

import (
	_ "embed"
	"fmt"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

//go:embed doc.md
var doc string

// Analyzer finds expired waivers.
var Analyzer = &analyze.Analyzer{
	Name:     "waiver",
	Severity: diag.Error,
	Catalog:  []string{"CR-14"},
	Doc:      doc,
	Run:      run,
}

func run(p *analyze.Pass) error {
	if p.AsOf.IsZero() {
		return nil
	}
	for _, w := range p.Mesh.Waivers() {
		if p.AsOf.Before(w.Expires) {
			continue
		}
		p.Report(diag.Diagnostic{
			Message: fmt.Sprintf("waiver of finding %s expired at %s (owner %s)", w.Fingerprint, w.Expires.UTC().Format(time.RFC3339), w.Owner),
			Span:    w.ExpiresAt,
			Object:  w.Object(),
			Fix:     &diag.Fix{Message: "mend the finding and remove the waiver, or decide again and set a later expires"},
		})
	}
	return nil
}
