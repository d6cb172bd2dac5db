// Package retrymethods finds retries of requests that must not be repeated.
package retrymethods

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

//go:embed doc.md
var doc string

// Analyzer finds rules that repeat a POST or PATCH which the destination may
// already have acted on.
var Analyzer = &analyze.Analyzer{
	Name:     "retrymethods",
	Severity: diag.Error,
	Catalog:  []string{"AM-02"},
	Doc:      doc,
	Run:      run,
}

// unsafe are the methods that are not idempotent (RFC 9110, section 9.2.2).
var unsafe = []string{"POST", "PATCH"}

func run(p *analyze.Pass) error {
	p.Services(func(s *check.Service) bool {
		ports(p, s.Ports)
		return true
	})
	p.Gateways(func(tables []*check.Port) { ports(p, tables) })
	return nil
}

func ports(p *analyze.Pass, all []*check.Port) {
	seen := map[string]bool{}
	for _, port := range all {
		if !port.Protocol.IsHTTP() {
			continue
		}
		known := tables{}
		for k, r := range port.Rules {
			if why := repeats(r.Retry); why != "" && !seen[r.ID] {
				seen[r.ID] = rule(p, port, known, k, why)
			}
		}
	}
}

// repeats returns the first written condition on which a request is sent again
// that may have been acted on, "" where there is none. Connection failures and
// refused streams come before the application saw the request. Linkerd's isRetryable says
// of a route that repeating it is safe, which is its author's to know.
func repeats(r *mesh.Retry) string {
	if r == nil || r.Attempts == 0 || !r.Span.IsValid() || r.Safe {
		return ""
	}
	for _, c := range r.Conditions {
		if c == "5xx" || c == "gateway-error" || c == "reset" {
			return c
		}
	}
	for _, status := range r.Statuses {
		if status >= 500 {
			return fmt.Sprintf("status %d", status)
		}
	}
	return ""
}

// rule reports the rule where it repeats a method that it takes.
func rule(p *analyze.Pass, port *check.Port, known tables, k int, why string) bool {
	r := port.Rules[k]
	for _, method := range unsafe {
		if r.Retry.Methods != nil && !slices.Contains(r.Retry.Methods, method) {
			continue
		}
		if client, sample := taken(p, port, known, k, method); sample != nil {
			report(p, port, r, client, sample, why)
			return true
		}
	}
	return false
}

// taken finds a request with a method that the rule takes, and who sends it.
func taken(p *analyze.Pass, port *check.Port, known tables, k int, method string) (*check.Workload, *reach.Sample) {
	for _, class := range p.Classes(port) {
		t := known.of(p, port, class.Client, method)
		if _, sample := t.Region(k).Intersect(t.Extra(0)).Witness(); sample != nil {
			return class.Client, sample
		}
	}
	return nil, nil
}

// tables are those of one port, by client and method.
type tables map[asked]*reach.Table

type asked struct {
	client *check.Workload
	method string
}

func (known tables) of(p *analyze.Pass, port *check.Port, client *check.Workload, method string) *reach.Table {
	at := asked{client, method}
	if known[at] == nil {
		only := mesh.Match{Methods: []mesh.StringMatch{{Kind: mesh.Exact, Value: method}}}
		known[at] = reach.NewTable(p.Mesh.Settings(), reach.Rules{Client: client, Rules: port.Rules, Extra: []mesh.Match{only}})
	}
	return known[at]
}

func report(p *analyze.Pass, port *check.Port, r *check.Rule, client *check.Workload, sample *reach.Sample, why string) {
	w := p.Witness(port, client, sample)
	w.Expect = &diag.WitnessExpect{Route: r.ID, Tries: r.Retry.Attempts + 1, UpstreamStatus: answer(r.Retry)}
	w.Observe = fmt.Sprintf("is sent up to %d times", w.Expect.Tries)
	if w.Expect.UpstreamStatus > 0 {
		w.Observe += fmt.Sprintf(" while the destination answers %d", w.Expect.UpstreamStatus)
	} else {
		w.Expect.Tries = 0
		w.Observe += " while the destination resets the stream"
	}
	p.Report(diag.Diagnostic{
		Message: fmt.Sprintf("rule %q repeats %s on %s, although the destination may have acted on the first one", r.Name, sample.Method, why),
		Span:    r.Retry.Span,
		Object:  r.Origin.Object(),
		Witness: w,
		Fix:     &diag.Fix{Message: advice(r)},
	})
}

// answer is a status that is retried, 0 where only resets are.
func answer(r *mesh.Retry) uint32 {
	for _, status := range r.Statuses {
		if status >= 500 {
			return status
		}
	}
	if slices.Contains(r.Conditions, "5xx") || slices.Contains(r.Conditions, "gateway-error") {
		return 503
	}
	return 0
}

func advice(r *check.Rule) string {
	safe := "retry on connect-failure and refused-stream only"
	if r.Origin.Dialect == mesh.Native {
		return fmt.Sprintf("leave %s out of retry.methods, or %s", strings.Join(unsafe, " and "), safe)
	}
	return safe + ", or give these methods a rule of their own without retries"
}
