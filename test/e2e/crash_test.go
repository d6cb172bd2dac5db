package e2e

import (
	"fmt"
	"testing"
	"time"
)

// comeback is how long a sidecar may take to serve again after all of it was killed. It starts from
// its directory and asks nobody.
const comeback = 10 * time.Second

// TestKilledAgentIsFollowed kills the agent of the callee and of the caller, without a controller.
// Envoy must go on, and the next agent must find it.
func TestKilledAgentIsFollowed(t *testing.T) {
	m := startMesh(t)
	m.Controller.Kill()
	for _, workload := range []string{"catalog-v1", "customer"} {
		i := m.Instance(workload)
		pid, err := i.EnvoyPid()
		m.must(err)
		before, err := i.Status()
		m.must(err)
		m.underLoad(func() {
			i.Agent.Kill()
			m.serves("without the agent of " + workload)
			m.must(i.StartAgent())
			m.must(i.Ready(t.Context()))
			m.serves("with a new agent of " + workload)
		})
		after, err := i.Status()
		m.must(err)
		if now, err := i.EnvoyPid(); now != pid || err != nil || !after.Envoy.Adopted || after.Envoy.Restarts != 0 {
			t.Errorf("%s: envoy is process %d, was %d, %v; %+v", workload, now, pid, err, after.Envoy)
		}
		if after.Sequence != before.Sequence || after.HighWaterMark != before.HighWaterMark {
			t.Errorf("%s: release %d of mark %d, was %d of %d", workload, after.Sequence, after.HighWaterMark, before.Sequence, before.HighWaterMark)
		}
	}
}

// TestKilledSidecarComesBack kills agent and Envoy together, without a controller. The new agent
// must start Envoy from the last good release.
func TestKilledSidecarComesBack(t *testing.T) {
	m := startMesh(t)
	m.Controller.Kill()
	for _, workload := range []string{"catalog-v1", "customer"} {
		i := m.Instance(workload)
		before, err := i.Status()
		m.must(err)
		i.Agent.Kill()
		m.must(i.KillEnvoy(t.Context()))
		begun := time.Now()
		m.must(i.StartAgent())
		m.until(func() error { return m.once() })
		took := time.Since(begun)
		t.Logf("%s serves again after %s", workload, took.Round(time.Millisecond))
		if took > comeback {
			t.Errorf("%s serves again after %s, at most %s is good", workload, took, comeback)
		}
		m.must(i.Ready(t.Context()))
		m.settled()
		m.serves("after " + workload + " has come back")
		after, err := i.Status()
		m.must(err)
		if after.Sequence != before.Sequence || after.HighWaterMark != before.HighWaterMark || after.Envoy.Adopted {
			t.Errorf("%s: %+v, was %+v", workload, after, before)
		}
	}
}

// once asks catalog v1 for one answer.
func (m *mesh) once() error {
	r, err := m.Instance("customer").Call(read)
	if err == nil && r.Versions["v1"] == 0 {
		err = fmt.Errorf("answered by %v: %v", r.Versions, r.Failures)
	}
	return err
}

// settled waits until requests succeed one after the other: the caller's Envoy may keep an endpoint
// that was dead out for a while.
func (m *mesh) settled() {
	m.t.Helper()
	m.until(func() error {
		o := read
		o.Requests = 20
		r, err := m.Instance("customer").Call(o)
		if have, others := r.Count(200); err == nil && others > 0 {
			err = fmt.Errorf("%d of %d requests are answered: %v", have, r.Requests, r.Failures)
		}
		return err
	})
}
