package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/test/localmesh"
	"github.com/mesh-compile/mesh-compile/test/processes"
)

func (s *shop) delivery(ctx context.Context, t *table) {
	t.claim("a canary shift pushed to git is live on every Envoy, and no request fails", func() (string, error) { return s.shift(ctx) })
	t.claim("an unsafe route pushed next is refused with its diagnostic and witness", func() (string, error) { return s.unsafe(ctx) })
	t.claim("the old release keeps serving meanwhile", s.oldServes)
	t.claim("all of it takes less than 3 GiB", s.memory)
	t.claim("the controller is killed and traffic goes on", s.headless)
}

const shiftLimit = 30 * time.Second

// shift moves the canary from 10 to 50 % under load.
func (s *shop) shift(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shiftLimit)
	defer cancel()
	before, err := s.Status()
	if err != nil {
		return "", err
	}
	customer, o := s.Instance("customer"), items
	o.Concurrency = 4
	stop, err := customer.Load(o)
	if err != nil {
		return "", err
	}
	took, err := s.shiftLive(ctx, before.Live.Sequence+1)
	load, stopErr := stop()
	if err == nil {
		err = stopErr
	}
	if err != nil {
		return "", err
	}
	o.Requests, o.Concurrency = 1000, 8
	after, err := customer.Call(o)
	if err != nil {
		return "", err
	}
	_, failed := load.Count(200)
	share := after.Versions["v2"] * 100 / max(1, after.Requests)
	return fmt.Sprintf("live %d ms after the commit; %d requests meanwhile, %d failed; then %d %% to v2",
			took.Milliseconds(), load.Requests, failed, share),
		want(load.Requests > 0 && failed == 0 && share > 40 && share < 60, "none failed, then 50 %%; %s %s", answers(load), load.Failures)
}

func (s *shop) shiftLive(ctx context.Context, sequence uint64) (time.Duration, error) {
	err := s.Edit("catalog.yaml",
		"    - {version: v1, weight: 90}\n    - {version: v2, weight: 10}",
		"    - {version: v1, weight: 50}\n    - {version: v2, weight: 50}")
	if err == nil {
		err = s.Commit(ctx, "catalog: half of Black Friday")
	}
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	err = s.WaitLive(ctx, sequence)
	return time.Since(begun), err
}

// unsafe commits a rule that can never be reached.
func (s *shop) unsafe(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shiftLimit)
	defer cancel()
	before, err := s.Status()
	if err != nil {
		return "", err
	}
	err = s.Edit("order.yaml", "  - name: orders\n",
		"  - name: late\n    match:\n    - {path: {prefix: /report/2026}, methods: [GET]}\n    respond: {status: 410}\n  - name: orders\n")
	if err == nil {
		err = s.Commit(ctx, "order: a rule in the wrong place")
	}
	if err != nil {
		return "", err
	}
	var now localmesh.State
	err = s.Until(ctx, func() error {
		if now, err = s.Status(); err != nil {
			return err
		}
		return want(now.Refused.Diagnostics != "", "a refusal")
	})
	if err != nil {
		return "", err
	}
	found := now.Refused.Diagnostics
	place, _, _ := strings.Cut(found, "\n")
	return place + "; " + line(found, "witness:"),
		want(strings.Contains(place, "order.yaml:") && strings.Contains(place, "[routeshadow]") &&
			line(found, "witness:") != "" && now.Live.Sequence == before.Live.Sequence,
			"the finding with its place and witness, and release %d live", before.Live.Sequence)
}

// line returns the first line of text that begins with a word.
func line(text, word string) string {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); strings.HasPrefix(l, word) {
			return l
		}
	}
	return ""
}

func (s *shop) oldServes() (string, error) {
	r, err := s.call("customer", localmesh.Order{Method: "GET", URL: "http://order:8080/read", Requests: 50})
	if err != nil {
		return "", err
	}
	return answers(r), want(r.Status[200] == 50, "200 50 times")
}

// memory adds up what is resident, pages that processes share several times over.
func (s *shop) memory() (string, error) {
	const limit = 3 << 30
	var total uint64
	counts, sums := map[string]int{}, map[string]uint64{}
	for _, p := range processes.Find(s.group.Dir) {
		counts[p.Program]++
		sums[p.Program] += p.Resident
		total += p.Resident
	}
	parts := []string{fmt.Sprintf("%.2f GiB resident", float64(total)/(1<<30))}
	for _, program := range []string{"envoy", "mesh-agent", "mesh-compile", "app"} {
		parts = append(parts, fmt.Sprintf("%d %s %d MiB", counts[program], program, sums[program]>>20))
	}
	n := len(s.Instances())
	return strings.Join(parts, ", "),
		want(total > 0 && total < limit && counts["envoy"] == n && counts["mesh-agent"] == n, "all of them in 3 GiB")
}

// headless kills the controller: sidecars need it for change alone.
func (s *shop) headless() (string, error) {
	s.Controller.Kill()
	o := items
	o.Requests, o.Concurrency = 200, 4
	r, err := s.call("customer", o)
	if err != nil {
		return "", err
	}
	d, err := s.call("catalog-v1", localmesh.Order{Method: "POST", URL: "http://payment:8080/charges"})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("allowed: %s; forbidden: %s", answers(r), answers(d)),
		want(r.Status[200] == 200 && d.Status[403] == 1, "200 200 times; 403")
}
