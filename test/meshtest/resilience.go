package meshtest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// reaches reports whether a result claims that a destination gets the request.
func reaches(want *reach.Result) bool {
	return want.Caller != nil && want.Port != nil && want.Port.Protocol.IsHTTP() &&
		want.Route.Action == reach.ActionRoute && want.Access.Decision == reach.Allow && want.Route.Fault == nil
}

// judgeTries has the destination fail as the rule's retries are for, and counts
// how often it is asked.
func (m *Mesh) judgeTries(ctx context.Context, want *reach.Result) ([]string, error) {
	failing, ok := failure(want)
	if !ok || !reaches(want) {
		return nil, nil
	}
	tries, _, err := m.Tries(ctx, want, failing)
	if expected := int(want.Route.Retries) + 1; err == nil && tries != expected {
		return []string{fmt.Sprintf("tries of a request that fails: the evaluator says %d, Envoy %d", expected, tries)}, nil
	}
	return nil, err
}

// failure is one that a rule's retries are for, if an application can cause it: a
// connection that an application cuts is a 503 of its own proxy to the caller's,
// never a reset.
func failure(want *reach.Result) (envoytest.Answer, bool) {
	if want.Route.Rule == nil || want.Route.Rule.Retry == nil {
		return envoytest.Answer{}, false
	}
	r := want.Route.Rule.Retry
	switch {
	case len(r.Statuses) > 0:
		return envoytest.Answer{Status: int(r.Statuses[0])}, true
	case slices.Contains(r.Conditions, "5xx"), slices.Contains(r.Conditions, "gateway-error"):
		return envoytest.Answer{Status: http.StatusServiceUnavailable}, true
	}
	return envoytest.Answer{}, false
}

// Tries sends a request to destinations that always give this answer, and counts
// how often they are asked.
func (m *Mesh) Tries(ctx context.Context, want *reach.Result, answer envoytest.Answer) (int, Observation, error) {
	path, _, _ := strings.Cut(want.Route.Upstream.Path, "?")
	for _, e := range m.echoes(want) {
		e.Reset()
		e.Answer(path, answer)
		defer e.Answer(path, envoytest.Answer{})
	}
	got, err := m.Ask(ctx, want)
	tries := 0
	for _, e := range m.echoes(want) {
		tries += e.Count("", path)
	}
	return tries, got, err
}

func (m *Mesh) echoes(want *reach.Result) []*envoytest.Echo {
	var out []*envoytest.Echo
	for _, d := range want.Route.Destinations {
		for _, w := range d.Backend.Workloads {
			for _, e := range m.Echoes(w.Key()) {
				if !slices.Contains(out, e) {
					out = append(out, e)
				}
			}
		}
	}
	return out
}

// longestWait is the longest timeout or delay that is waited for.
const longestWait = time.Second

// slack is what a busy machine adds to a timeout, early what Envoy's timers are
// off by: they count the milliseconds of a clock that is read once a loop.
const (
	slack = 700 * time.Millisecond
	early = 20 * time.Millisecond
)

// judgeTimeout has the destination take longer than the rule waits.
func (m *Mesh) judgeTimeout(ctx context.Context, want *reach.Result) ([]string, error) {
	wait, tries := patience(want)
	if wait <= 0 || wait > longestWait || !reaches(want) {
		return nil, nil
	}
	asked, got, err := m.Tries(ctx, want, envoytest.Answer{Delay: wait + 10*slack})
	if err != nil {
		return nil, err
	}
	if !got.timedOut() || got.Took < wait-early || got.Took > wait+slack || asked != tries {
		return []string{fmt.Sprintf("timeout: the evaluator says %d tries in %s, Envoy answers %d after %d tries in %s",
			tries, wait, got.Status, asked, got.Took)}, nil
	}
	return nil, nil
}

// timedOut reports Envoy's answer after a timeout; a gRPC client reads DEADLINE_EXCEEDED.
func (o *Observation) timedOut() bool {
	return o.Status == http.StatusGatewayTimeout || o.Headers.Get("Grpc-Status") == "4"
}

// patience is how long a rule waits for a destination that never answers, and
// how often it asks. Envoy repeats what a per-try timeout ended on the conditions
// that a reset stream has.
func patience(want *reach.Result) (time.Duration, int) {
	wait, tries := want.Route.Timeout, 1
	rule := want.Route.Rule
	if rule == nil || rule.Retry == nil || rule.Retry.PerTry == nil {
		return wait, tries
	}
	if slices.ContainsFunc(rule.Retry.Conditions, func(c string) bool { return c == "5xx" || c == "gateway-error" || c == "reset" }) {
		tries += int(want.Route.Retries)
	}
	per := *rule.Retry.PerTry
	if wait == 0 || per*time.Duration(tries) < wait {
		return per * time.Duration(tries), tries
	}
	return wait, int((wait + per - 1) / per)
}

// judgeFault measures what is injected on purpose.
func (m *Mesh) judgeFault(ctx context.Context, want *reach.Result) ([]string, error) {
	fault := want.Route.Fault
	if fault == nil || want.Caller == nil {
		return nil, nil
	}
	out, err := m.judgeDelay(ctx, want, fault)
	if err != nil || fault.AbortPercent <= 0 || fault.AbortPercent >= 100 || fault.Delay > 0 && fault.DelayPercent > 0 {
		return out, err
	}
	from, err := m.instanceOf(want.Caller.Key())
	if err != nil {
		return nil, err
	}
	counts := make([]int, 2)
	err = m.repeat(ctx, from, want, sample, func(r envoytest.Response) {
		if r.Status == int(fault.AbortStatus) {
			counts[0]++
		} else {
			counts[1]++
		}
	})
	if err != nil {
		return nil, err
	}
	if err := ChiSquare(counts, []float64{fault.AbortPercent, 100 - fault.AbortPercent}); err != nil {
		out = append(out, fmt.Sprintf("aborted requests: %v", err))
	}
	return out, nil
}

func (m *Mesh) judgeDelay(ctx context.Context, want *reach.Result, fault *mesh.Fault) ([]string, error) {
	if fault.DelayPercent < 100 || fault.Delay > longestWait {
		return nil, nil
	}
	got, err := m.Ask(ctx, want)
	if err != nil {
		return nil, err
	}
	if got.Took < fault.Delay-early || got.Took > fault.Delay+slack {
		return []string{fmt.Sprintf("delay: the evaluator says %s, Envoy answers after %s", fault.Delay, got.Took)}, nil
	}
	return nil, nil
}
