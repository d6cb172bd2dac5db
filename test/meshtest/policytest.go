package meshtest

import (
	"context"
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/policytest"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

// Outcome is a case of a PolicyTest as the evaluator and a real Envoy answer it.
type Outcome struct {
	policytest.Result // the evaluator's, judged by the case's expectations
	Observation       Observation
	// Differences between the evaluator and Envoy; none where they agree.
	Differences []string
}

// Passed reports whether evaluator and expectation, and evaluator and Envoy, agree.
func (o *Outcome) Passed() bool { return o.Result.Passed() && len(o.Differences) == 0 }

// RunPolicyTests asks every case of every PolicyTest of a mesh of the evaluator
// and of real Envoys, which it starts and ends.
func RunPolicyTests(ctx context.Context, m *check.Mesh) ([]Outcome, error) {
	results := policytest.Run(m)
	running, err := Start(ctx, m, participants(results)...)
	if err != nil {
		return nil, err
	}
	defer running.Close()
	return running.RunPolicyTests(ctx, results)
}

func participants(results []policytest.Result) []string {
	var asked []*reach.Result
	for i := range results {
		if results[i].Result != nil {
			asked = append(asked, results[i].Result)
		}
	}
	return TakingPart(asked...)
}

// RunPolicyTests asks a running mesh, whose workloads must be those of the cases.
func (m *Mesh) RunPolicyTests(ctx context.Context, results []policytest.Result) ([]Outcome, error) {
	out := make([]Outcome, len(results))
	for i, r := range results {
		out[i].Result = r
		if r.Result == nil {
			continue // the case cannot be asked, and has failed for it
		}
		var err error
		if out[i].Observation, out[i].Differences, err = m.Judge(ctx, r.Result); err != nil {
			return nil, fmt.Errorf("asking %q of %s: %w", r.Case.Name, r.Test.Object(), err)
		}
	}
	return out, nil
}

// Judge asks Envoy everything that a result of the evaluator claims: what happens
// to the request, how requests are shared and copied, how often they are repeated, and when
// they are given up.
func (m *Mesh) Judge(ctx context.Context, want *reach.Result) (Observation, []string, error) {
	got, err := m.Ask(ctx, want)
	if err != nil {
		return got, nil, err
	}
	differences := Compare(want, &got)
	for _, ask := range []func(context.Context, *reach.Result) ([]string, error){m.judgeShares, m.judgeMirrors, m.judgeTries, m.judgeTimeout, m.judgeFault} {
		more, err := ask(ctx, want)
		if err != nil {
			return got, nil, err
		}
		differences = append(differences, more...)
	}
	return got, differences, nil
}
