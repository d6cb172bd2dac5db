package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// leastChanges is how many changes the percentiles are of, at least.
const leastChanges = 20

// BenchmarkCommitToACK measures the time from a commit in the policy repository until the Envoys of
// three sidecars have acknowledged the release, by the controller's own status: for a change of a
// weight, which is one new route table at the caller, and for one of routes and access rules, which
// is new listeners at all three as well.
func BenchmarkCommitToACK(b *testing.B) {
	b.Run("route", func(b *testing.B) {
		m := startMesh(b)
		m.measure(b, func(n int) { m.shift(1 + n%98) })
	})
	b.Run("route-and-access", func(b *testing.B) {
		m := startMesh(b)
		rule := "readers"
		m.measure(b, func(n int) {
			next := fmt.Sprintf("readers-%d", n)
			m.must(m.Edit("mesh.yaml", "name: "+rule+"\n", "name: "+next+"\n"))
			rule = next
			m.shift(1 + n%98)
		})
	})
}

// measure reports the percentiles of the time that a change takes once git has it.
func (m *mesh) measure(b *testing.B, commit func(n int)) {
	sequence := m.sequence()
	var took []time.Duration
	change := func() {
		sequence++
		commit(len(took))
		begun := time.Now()
		m.live(sequence)
		took = append(took, time.Since(begun))
	}
	for b.Loop() {
		change()
	}
	for len(took) < leastChanges {
		change()
	}
	slices.Sort(took)
	for name, share := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99} {
		at := took[min(len(took)-1, int(share*float64(len(took))))]
		b.ReportMetric(float64(at.Microseconds())/1000, name)
	}
	b.ReportMetric(0, "ns/op") // git's own time is in it
}
