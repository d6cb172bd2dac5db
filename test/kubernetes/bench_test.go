package kubernetes

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/test/kubernetes/flux"
)

// leastCommits is how many commits the percentiles are of, at least.
const leastCommits = 20

// BenchmarkCommitToACK measures the time from an artifact of Flux, which a commit became, until the
// Envoys of three sidecars have acknowledged the release: compiled, stored, signed, delivered and
// applied, each by another role of the cluster. The metrics are milliseconds.
func BenchmarkCommitToACK(b *testing.B) {
	p := &play{world: install(b, "ca", "sign", "deliver", "reconcile")}
	flux.InstallCRDs(b, p.cluster)
	p.applyShop()
	p.repository = flux.NewRepository(b, filepath.Join("testdata", "shop"))
	p.publisher = flux.NewPublisher(b, p.cluster)
	revision := p.publisher.Git(b, "policies", p.repository)
	p.cluster.Apply(b, syncManifest)
	p.runMesh()
	sequence := p.synced(revision)
	var took []time.Duration
	commit := func() {
		p.repository.Write(b, "route.yaml", route(1+len(took)%98))
		p.repository.Push(b, fmt.Sprintf("change %d", len(took)))
		dir := filepath.Join(b.TempDir(), "checkout")
		revision := p.publisher.Checkout(b, p.repository, dir)
		begun := time.Now()
		p.publisher.PublishGit(b, "policies", p.repository, dir, revision)
		sequence++
		for _, s := range p.sidecars() {
			s.Runs(b, sequence)
		}
		took = append(took, time.Since(begun))
		p.synced(revision)
	}
	for b.Loop() {
		commit()
	}
	for len(took) < leastCommits {
		commit()
	}
	slices.Sort(took)
	for name, share := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99} {
		at := took[min(len(took)-1, int(share*float64(len(took))))]
		b.ReportMetric(float64(at.Microseconds())/1000, name)
	}
	b.ReportMetric(0, "ns/op") // git's own time is in it
}
