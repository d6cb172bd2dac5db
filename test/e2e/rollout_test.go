package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestVersionsComeAndGoUnderLoad adds a version, shifts requests to it and deletes it, again and
// again, each by a commit.
func TestVersionsComeAndGoUnderLoad(t *testing.T) {
	m := startMesh(t)
	v2, err := os.ReadFile(filepath.Join("testdata", "policies", "catalog-v2.yaml"))
	m.must(err)
	const rounds = 50
	callers := []string{"customer", "catalog-v1"} // catalog-v2 has no policy while it is deleted
	begun := time.Now()
	m.underLoad(func() {
		sequence := m.sequence()
		next := func(what func()) {
			sequence++
			what()
			m.live(sequence, callers...)
		}
		for range rounds {
			next(func() { m.must(m.Write("catalog-v2.yaml", "")); m.shift(0) })
			next(func() { m.must(m.Write("catalog-v2.yaml", string(v2))); m.shift(10) })
			next(func() { m.shift(50) })
		}
	})
	t.Logf("%d rounds of three commits, %s each", rounds, (time.Since(begun) / (3 * rounds)).Round(time.Millisecond))
	// The version that was away all the time has come back with the rest.
	m.live(m.sequence())
	if r := m.serves("after all"); r.Versions["v1"] == 0 || r.Versions["v2"] == 0 {
		t.Errorf("versions that answer: %v", r.Versions)
	}
}
