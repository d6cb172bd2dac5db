// Package timeoutinversion finds timeouts that make others pointless.
package timeoutinversion

import (
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

//go:embed doc.md
var doc string

// Analyzer finds tries that the whole request's timeout leaves no time for, and
// callers that give up before the calls that the callee makes for them.
var Analyzer = &analyze.Analyzer{
	Name:     "timeoutinversion",
	Severity: diag.Error,
	Catalog:  []string{"AM-04"},
	Doc:      doc,
	Run:      run,
}

func run(p *analyze.Pass) error {
	p.Services(func(s *check.Service) bool {
		service(p, s)
		return true
	})
	edges(p)
	return nil
}

func service(p *analyze.Pass, s *check.Service) {
	seen := map[string]bool{}
	for _, port := range s.Ports {
		for k, r := range port.Rules {
			if port.Protocol.IsHTTP() && !seen[r.ID] && pointless(r) {
				seen[r.ID] = true
				tries(p, port, k)
			}
		}
	}
}

// pointless reports whether a try may last longer than the request, or the last
// try cannot start after those before it timed out.
func pointless(r *check.Rule) bool {
	if r.Timeout == 0 || r.Retry == nil || r.Retry.PerTry == nil || *r.Retry.PerTry == 0 || !r.Retry.Span.IsValid() {
		return false
	}
	perTry := *r.Retry.PerTry
	return perTry > r.Timeout ||
		repeatsTimeouts(r.Retry) && r.Retry.Attempts > 0 && perTry*time.Duration(r.Retry.Attempts) >= r.Timeout
}

// repeatsTimeouts: Envoy counts a try that timed out as a reset
// (RetryStateImpl::wouldRetryFromReset), which these conditions cover.
func repeatsTimeouts(r *mesh.Retry) bool {
	return slices.ContainsFunc(r.Conditions, func(c string) bool {
		return c == "5xx" || c == "gateway-error" || c == "reset"
	})
}

// startable is how many tries can start before the request's time is over, each
// lasting all of its own.
func startable(r *check.Rule) uint32 {
	perTry := *r.Retry.PerTry
	return uint32((r.Timeout + perTry - 1) / perTry)
}

func tries(p *analyze.Pass, port *check.Port, k int) {
	r := port.Rules[k]
	perTry, all := *r.Retry.PerTry, r.Retry.Attempts+1
	d := diag.Diagnostic{
		Span:   r.Retry.Span,
		Object: r.Origin.Object(),
	}
	if r.TimeoutAt.IsValid() {
		d.Related = []diag.Related{{Span: r.TimeoutAt, Message: "timeout of the whole request"}}
	}
	if perTry > r.Timeout {
		d.Message = fmt.Sprintf("rule %q gives each try %s, but the whole request ends after %s", r.Name, perTry, r.Timeout)
		d.Fix = &diag.Fix{Message: fmt.Sprintf("make perTryTimeout shorter than %s", r.Timeout)}
	} else {
		d.Message = fmt.Sprintf("rule %q never makes its last try where the destination is slow: %d tries of %s do not fit into %s", r.Name, all, perTry, r.Timeout)
		d.Fix = &diag.Fix{Message: fmt.Sprintf("make the timeout longer than %s, or perTryTimeout or attempts smaller", perTry*time.Duration(r.Retry.Attempts))}
	}
	d.Witness = witness(p, port, k)
	if d.Witness != nil && (r.Retry.Methods == nil || slices.Contains(r.Retry.Methods, d.Witness.Method)) {
		n := min(startable(r), all)
		if !repeatsTimeouts(r.Retry) {
			n = 1
		}
		d.Witness.Expect = &diag.WitnessExpect{
			Route: r.ID, Status: 504, Tries: n, UpstreamDelay: (2 * r.Timeout).String(),
		}
		d.Witness.Observe = fmt.Sprintf("is answered 504 after %s and %d of %d tries when the destination is slow", r.Timeout, n, all)
	}
	p.Report(d)
}

// witness is a request that the rule takes and may repeat.
func witness(p *analyze.Pass, port *check.Port, k int) *diag.Witness {
	for _, class := range p.Classes(port) {
		t := reach.NewTable(p.Mesh.Settings(), reach.Rules{Client: class.Client, Rules: port.Rules})
		if _, sample := t.Region(k).Witness(); sample != nil {
			return p.Witness(port, class.Client, sample)
		}
	}
	return nil
}
