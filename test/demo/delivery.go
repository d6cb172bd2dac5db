package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// controllerState is what the demo reads of the controller's status document.
type controllerState struct {
	Live struct {
		Sequence uint64 `json:"sequence"`
	} `json:"live"`
	Refused struct {
		Diagnostics string `json:"diagnostics"`
	} `json:"refused"`
	Fleet struct {
		Proxies []struct {
			Workload string `json:"workload"`
			Sequence uint64 `json:"sequence"`
			State    string `json:"state"`
		} `json:"proxies"`
	} `json:"fleet"`
}

func state() (controllerState, error) {
	var st controllerState
	return st, getJSON("http://"+controllerStatus+"/status", &st)
}

// live reports whether every sidecar has acknowledged the release.
func (c controllerState) live(sequence uint64) error {
	if c.Live.Sequence < sequence {
		return fmt.Errorf("release %d is live, not %d", c.Live.Sequence, sequence)
	}
	if n := len(c.Fleet.Proxies); n < len(instances) {
		return fmt.Errorf("%d of %d sidecars reported", n, len(instances))
	}
	for _, p := range c.Fleet.Proxies {
		if p.Sequence < sequence || p.State != "applied" {
			return fmt.Errorf("%s has release %d (%s)", p.Workload, p.Sequence, p.State)
		}
	}
	return nil
}

func (s *shop) delivery(ctx context.Context, t *table) {
	t.claim("a canary shift pushed to git is live on every Envoy, and no request fails", func() (string, error) { return s.shift(ctx) })
	t.claim("an unsafe route pushed next is refused with its diagnostic and witness", func() (string, error) { return s.unsafe(ctx) })
	t.claim("the old release keeps serving meanwhile", s.oldServes)
	t.claim("the controller is killed and traffic goes on", s.headless)
}

const shiftLimit = 30 * time.Second

// shift moves the canary from 10 to 50 % under load.
func (s *shop) shift(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shiftLimit)
	defer cancel()
	before, err := state()
	if err != nil {
		return "", err
	}
	customer := named("customer").control()
	if err := post(customer+"/call", order{Method: "GET", URL: "http://catalog:8080/items", Concurrency: 4, Until: true}, nil); err != nil {
		return "", err
	}
	liveAfter, err := s.shiftLive(ctx, before.Live.Sequence+1)
	var load tally
	if stopErr := post(customer+"/stop", nil, &load); err == nil {
		err = stopErr
	}
	if err != nil {
		return "", err
	}
	after, err := call("customer", order{Method: "GET", URL: "http://catalog:8080/items", Requests: 1000, Concurrency: 8})
	if err != nil {
		return "", err
	}
	share := after.Versions["v2"] * 100 / max(1, after.Requests)
	return fmt.Sprintf("live after %d ms; %d requests meanwhile, %d failed; then %d %% of v2",
			liveAfter.Milliseconds(), load.Requests, load.Requests-load.Status[200], share),
		want(load.Requests > 0 && load.Requests == load.Status[200] && share > 40 && share < 60, "none failed and 50 %%; status %v %s", load.Status, load.Error)
}

func (s *shop) shiftLive(ctx context.Context, sequence uint64) (time.Duration, error) {
	err := s.commitEdit(ctx, "catalog.yaml",
		"    - {version: v1, weight: 90}\n    - {version: v2, weight: 10}",
		"    - {version: v1, weight: 50}\n    - {version: v2, weight: 50}", "catalog: half of Black Friday")
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	err = s.until(ctx, func() error {
		st, err := state()
		if err != nil {
			return err
		}
		return st.live(sequence)
	})
	return time.Since(begun), err
}

// unsafe commits a rule that can never be reached.
func (s *shop) unsafe(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, shiftLimit)
	defer cancel()
	before, err := state()
	if err != nil {
		return "", err
	}
	err = s.commitEdit(ctx, "order.yaml",
		"  - name: orders\n",
		"  - name: late\n    match:\n    - {path: {prefix: /report/2026}, methods: [GET]}\n    respond: {status: 410}\n  - name: orders\n",
		"order: a rule in the wrong place")
	if err != nil {
		return "", err
	}
	var st controllerState
	err = s.until(ctx, func() error {
		if st, err = state(); err != nil {
			return err
		}
		return want(st.Refused.Diagnostics != "", "a refusal")
	})
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(st.Refused.Diagnostics, "\n")
	return first, want(strings.Contains(st.Refused.Diagnostics, "order.yaml:") && strings.Contains(st.Refused.Diagnostics, "[routeshadow]") &&
		strings.Contains(st.Refused.Diagnostics, "witness:") && st.Live.Sequence == before.Live.Sequence, "the finding with its place and witness, and release %d: %s", before.Live.Sequence, st.Refused.Diagnostics)
}

func (s *shop) oldServes() (string, error) {
	r, err := call("customer", order{Method: "GET", URL: "http://order:8080/read", Requests: 50})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("status %v", r.Status), want(r.Status[200] == 50, "50 times 200")
}

// headless kills the controller: sidecars need it for change alone.
func (s *shop) headless() (string, error) {
	s.controller.kill()
	r, err := call("customer", order{Method: "GET", URL: "http://catalog:8080/items", Requests: 200, Concurrency: 4})
	if err != nil {
		return "", err
	}
	d, err := call("catalog-v1", order{Method: "POST", URL: "http://payment:8080/charges"})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("allowed: %v, forbidden: %v", r.Status, d.Status),
		want(r.Status[200] == 200 && d.Status[403] == 1, "200 times 200, and 403")
}
