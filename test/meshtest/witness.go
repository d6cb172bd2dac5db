package meshtest

import (
	"context"
	"fmt"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// Evaluate is what the evaluator says of a witness.
func Evaluate(m *check.Mesh, w *diag.Witness) (*reach.Result, error) {
	r, err := reach.Evaluate(m, analyze.Request(w))
	if err != nil {
		return nil, fmt.Errorf("evaluating the witness %s: %w", w, err)
	}
	return &r, nil
}

// Show sends a witness and returns how what is seen differs from what the witness
// claims, and from what the evaluator says.
func (m *Mesh) Show(ctx context.Context, w *diag.Witness) ([]string, error) {
	want, err := Evaluate(m.mesh, w)
	if err != nil {
		return nil, err
	}
	answer := envoytest.Answer{Status: int(w.Expect.UpstreamStatus)}
	if text := w.Expect.UpstreamDelay; text != "" {
		if answer.Delay, err = time.ParseDuration(text); err != nil {
			return nil, fmt.Errorf("the witness %s: %w", w, err)
		}
	}
	tries, got, err := m.Tries(ctx, want, answer)
	if err != nil {
		return nil, err
	}
	differences := claims(w.Expect, tries, &got)
	if answer.Status == 0 && answer.Delay == 0 {
		differences = append(differences, Compare(want, &got)...)
	}
	return differences, nil
}

// claims compares an observation with a witness; an empty Rule under a denial is
// that no rule allows.
func claims(want *diag.WitnessExpect, tries int, got *Observation) []string {
	var out []string
	claim := func(holds bool, what string, value any) {
		if !holds {
			out = append(out, fmt.Sprintf("the witness claims %s %v, and Envoy shows %s (%d tries)", what, value, got, tries))
		}
	}
	claim(want.Route == "" || want.Route == got.Route, "route", want.Route)
	claim(want.Status == 0 || int(want.Status) == got.Status, "status", want.Status)
	claim(want.Tries == 0 || int(want.Tries) == tries, "tries", want.Tries)
	switch want.Access {
	case string(reach.Allow):
		claim(got.Received != nil, "access", want.Access)
	case string(reach.Deny):
		claim(got.Received == nil, "access", want.Access)
		claim(want.Rule == "" || got.deniedBy(want.Rule), "denial by", want.Rule)
	}
	return out
}
