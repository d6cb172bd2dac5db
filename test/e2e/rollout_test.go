package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/test/localmesh"
)

// TestVersionsComeAndGoUnderLoad adds a version, shifts requests to it and deletes it, again and
// again, each by a commit. No request may fail, neither while one change follows the other nor when
// the agent has taken the clusters of the deleted version from Envoy.
func TestVersionsComeAndGoUnderLoad(t *testing.T) {
	m := startMesh(t)
	v2, err := os.ReadFile(filepath.Join("testdata", "policies", "catalog-v2.yaml"))
	m.must(err)
	const rounds, pauses = 50, 2
	callers := []string{"customer", "catalog-v1"} // catalog-v2 has no policy while it is deleted
	m.underLoad(func() {
		sequence := m.sequence()
		next := func(file string, percent int) {
			sequence++
			m.must(m.Write("catalog-v2.yaml", file))
			m.shift(percent)
			m.live(sequence, callers...)
		}
		for round := range rounds {
			next("", 0)
			if round%(rounds/pauses) == 0 {
				m.until(m.withoutV2)
			}
			next(string(v2), 10)
			next(string(v2), 50)
		}
	})
	// The version that was away now and then has come back with the rest.
	m.live(m.sequence())
	if r := m.serves("after all"); r.Versions["v1"] == 0 || r.Versions["v2"] == 0 {
		t.Errorf("versions that answer: %v", r.Versions)
	}
}

// withoutV2 says whether the caller's Envoy has forgotten the clusters of v2.
func (m *mesh) withoutV2() error {
	page, err := localmesh.Page(m.Instance("customer").AgentURL() + "/metrics")
	switch {
	case err != nil:
		return err
	case !strings.Contains(page, "|v1|catalog"):
		return errors.New("envoy does not tell of the cluster of v1")
	case strings.Contains(page, "|v2|catalog"):
		return errors.New("envoy has the cluster of v2 still")
	}
	return nil
}
