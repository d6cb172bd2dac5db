package meshtest

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// sample is how many requests show a split: enough that weights off by five
// points fail ChiSquare in 99 of 100 runs, and right ones in 1 of 100,000.
const sample = 5000

// judgeShares counts where requests go that have several destinations.
func (m *Mesh) judgeShares(ctx context.Context, want *reach.Result) ([]string, error) {
	if len(want.Route.Destinations) < 2 || want.Caller == nil {
		return nil, nil
	}
	if !isHTTP(want) && want.Entry != nil {
		return nil, nil // connections from outside carry what applications speak
	}
	counts, err := m.Shares(ctx, want, sample)
	if err != nil {
		return nil, err
	}
	percents := make([]float64, len(counts))
	for i, d := range want.Route.Destinations {
		percents[i] = d.Percent
	}
	if err := ChiSquare(counts, percents); err != nil {
		return []string{fmt.Sprintf("shares of %s: %v", destinationNames(want.Route.Destinations), err)}, nil
	}
	return nil, nil
}

// certain is how many requests show what happens to each of them.
const certain = 20

// judgeMirrors counts the copies that the caller's proxy sends.
func (m *Mesh) judgeMirrors(ctx context.Context, want *reach.Result) ([]string, error) {
	if len(want.Route.Mirrors) == 0 || want.Caller == nil || !isHTTP(want) || !apart(&want.Route) {
		return nil, nil
	}
	from, err := m.instanceOf(want.Caller.Key())
	if err != nil {
		return nil, err
	}
	n := certain
	var to []reach.Destination
	for _, copies := range want.Route.Mirrors {
		to = append(to, reach.Destination{Backend: copies.Backend})
		if copies.Percent < 100 {
			n = sample
		}
	}
	before, err := from.sent(to)
	if err != nil {
		return nil, err
	}
	if err := m.repeat(ctx, from, want, n, func(envoytest.Response) {}); err != nil {
		return nil, err
	}
	return m.judgeCopies(ctx, from, want, to, before, n)
}

// judgeCopies waits for the last copies, which are under way when their requests
// have been answered.
func (m *Mesh) judgeCopies(ctx context.Context, from *instance, want *reach.Result, to []reach.Destination, before []int, n int) ([]string, error) {
	wait, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	err := envoytest.Until(wait, func() error {
		after, err := from.sent(to)
		if err != nil {
			return err
		}
		for i, copies := range want.Route.Mirrors {
			sent := after[i] - before[i]
			if err := ChiSquare([]int{sent, n - sent}, []float64{copies.Percent, 100 - copies.Percent}); err != nil {
				return fmt.Errorf("copies to %s: %w", destinationNames(to[i:i+1]), err)
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return []string{err.Error()}, nil
	}
	return nil, ctx.Err()
}

// apart reports whether copies can be told from requests and from other copies.
func apart(r *reach.Route) bool {
	seen := map[string]bool{}
	for _, d := range r.Destinations {
		seen[xds.ClusterName(d.Backend)] = true
	}
	for _, copies := range r.Mirrors {
		name := xds.ClusterName(copies.Backend)
		if seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

// Shares sends a request n times, and counts the requests that the caller's proxy
// sent to each destination, in the order of the result's.
func (m *Mesh) Shares(ctx context.Context, want *reach.Result, n int) ([]int, error) {
	from, err := m.instanceOf(want.Caller.Key())
	if err != nil {
		return nil, err
	}
	before, err := from.sent(want.Route.Destinations)
	if err != nil {
		return nil, err
	}
	if err := m.repeat(ctx, from, want, n, func(envoytest.Response) {}); err != nil {
		return nil, err
	}
	after, err := from.sent(want.Route.Destinations)
	if err != nil {
		return nil, err
	}
	for i := range after {
		after[i] -= before[i]
	}
	return after, nil
}

func (i *instance) sent(to []reach.Destination) ([]int, error) {
	out := make([]int, len(to))
	for k, d := range to {
		name := "cluster." + xds.StatName(xds.ClusterName(d.Backend)) + ".upstream_rq_total"
		stats, err := i.envoy.Stats(name)
		if err != nil {
			return nil, err
		}
		out[k] = int(stats[name])
	}
	return out, nil
}

// senders at the same time; more only queue on two cores.
const senders = 4

// repeat sends a request n times over connections that it keeps.
func (m *Mesh) repeat(ctx context.Context, from *instance, want *reach.Result, n int, each func(envoytest.Response)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: senders}
	defer transport.CloseIdleConnections()
	address, request := from.outbound, wire(&want.Request)
	if want.Entry != nil {
		var err error
		if address, err = m.arrive(from, want, &request); err != nil {
			return err
		}
		transport.TLSClientConfig = request.TLS
	}
	var left atomic.Int64
	left.Store(int64(n))
	var mu sync.Mutex
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				response, err := envoytest.SendOver(ctx, transport, address, request)
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				each(response)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// zOfBound is the standard normal's quantile at 1 - 1e-5.
const zOfBound = 4.265

// ChiSquare judges counts by the percentages that they should have: an error
// where chance explains the difference less than once in 100,000.
func ChiSquare(counts []int, percents []float64) error {
	total, whole := 0, 0.0
	for i := range counts {
		total, whole = total+counts[i], whole+percents[i]
	}
	statistic, freedom := 0.0, -1.0
	for i, n := range counts {
		expected := float64(total) * percents[i] / whole
		if expected == 0 {
			if n > 0 {
				return fmt.Errorf("%d requests where none belongs: got %v, want %v percent", n, counts, percents)
			}
			continue
		}
		statistic += (float64(n) - expected) * (float64(n) - expected) / expected
		freedom++
	}
	if total == 0 {
		return fmt.Errorf("no requests were counted, want %v percent", percents)
	}
	if freedom < 1 {
		return nil
	}
	// Wilson and Hilferty's approximation of the quantile.
	bound := freedom * math.Pow(1-2/(9*freedom)+zOfBound*math.Sqrt(2/(9*freedom)), 3)
	if statistic > bound {
		return fmt.Errorf("got %v of %d, want %v percent (chi-square %.1f, bound %.1f)", counts, total, slices.Clone(percents), statistic, bound)
	}
	return nil
}
