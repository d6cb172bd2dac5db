// Package e2e tests the programs together: mesh-compile serve, mesh-agent and Envoy as processes,
// real requests through two sidecars, and what happens when parts are killed or lie.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/localmesh"
	"github.com/mesh-compile/mesh-compile/test/processes"
)

// programs are built once; the group is closed by TestMain.
var programs = sync.OnceValues(func() (*processes.Group, error) {
	return processes.Open(context.Background(), localmesh.Programs...)
})

var opened bool

func TestMain(m *testing.M) {
	status := m.Run()
	if opened {
		if group, err := programs(); err == nil {
			if err := group.Close(false); err != nil {
				fmt.Fprintln(os.Stderr, err)
				status = 1
			}
		}
	}
	os.Exit(status)
}

// mesh is a mesh of a test. Tests take the loopback network in turns.
type mesh struct {
	*localmesh.Mesh
	t testing.TB
}

// newMesh starts nothing yet.
func newMesh(t testing.TB) *mesh {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts several Envoys")
	}
	envoytest.Require(t)
	opened = true
	group, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	m, err := localmesh.New(t.Context(), group, localmesh.Options{
		Name: t.Name(), Policies: filepath.Join("testdata", "policies"), Network: envoytest.Network(),
		Instances: []localmesh.Instance{
			{Workload: "customer", Service: "customer", Version: "v1", Host: 11},
			{Workload: "catalog-v1", Service: "catalog", Version: "v1", Host: 12},
			{Workload: "catalog-v2", Service: "catalog", Version: "v2", Host: 13},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		group.Stop()
		if t.Failed() {
			m.PrintLogs(t.Output())
		}
	})
	return &mesh{m, t}
}

// startMesh waits until every sidecar runs the first release.
func startMesh(t testing.TB) *mesh {
	t.Helper()
	m := newMesh(t)
	m.must(m.Start(t.Context()))
	m.live(m.sequence())
	return m
}

func (m *mesh) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// patience is how long anything may take that is waited for.
const patience = 30 * time.Second

func (m *mesh) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(m.t.Context(), patience)
}

func (m *mesh) until(check func() error) {
	m.t.Helper()
	ctx, cancel := m.patient()
	defer cancel()
	m.must(m.Until(ctx, check))
}

// sequence is that of the live release.
func (m *mesh) sequence() uint64 {
	m.t.Helper()
	s, err := m.Status()
	m.must(err)
	return s.Live.Sequence
}

// live waits until the workloads, or all, run a release.
func (m *mesh) live(sequence uint64, workloads ...string) {
	m.t.Helper()
	ctx, cancel := m.patient()
	defer cancel()
	m.must(m.WaitLive(ctx, sequence, workloads...))
}

const routes = `apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: catalog, namespace: shop}
spec:
  service: catalog
  rules:
  - name: catalog
    to:
    - {version: v1, weight: %d}
`

// shift commits how much of the catalog's requests v2 gets.
func (m *mesh) shift(percent int) {
	m.t.Helper()
	text := fmt.Sprintf(routes, 100-percent)
	if percent > 0 {
		text += fmt.Sprintf("    - {version: v2, weight: %d}\n", percent)
	}
	m.must(m.Write("route.yaml", text))
	m.must(m.Commit(m.t.Context(), fmt.Sprintf("%d %% to v2", percent)))
}

var (
	read   = localmesh.Order{Method: "GET", URL: "http://catalog:8080/items"}
	change = localmesh.Order{Method: "POST", URL: "http://catalog:8080/items"} // that no rule allows
)

// serves makes requests that must be answered and some that must be refused.
func (m *mesh) serves(when string) localmesh.Tally {
	m.t.Helper()
	r := m.answered(when, read, 200)
	m.answered(when, change, 403)
	return r
}

func (m *mesh) answered(when string, o localmesh.Order, status int) localmesh.Tally {
	m.t.Helper()
	o.Requests, o.Concurrency = 40, 4
	r, err := m.Instance("customer").Call(o)
	m.must(err)
	if have, others := r.Count(status); others > 0 {
		m.t.Errorf("%s: %s was answered with %d %d times, and otherwise %d times: %v\n%q", when, o.Method, status, have, others, r.Status, r.Failures)
	}
	return r
}

// underLoad reads all the time while something is done; every request must be answered with 200.
func (m *mesh) underLoad(do func()) {
	m.t.Helper()
	o := read
	o.Concurrency = 4
	stop, err := m.Instance("customer").Load(o)
	m.must(err)
	begun := time.Now()
	do()
	load, err := stop()
	m.must(err)
	have, others := load.Count(200)
	if have == 0 || others > 0 {
		m.t.Errorf("%d requests were answered with 200, %d were not: %v\n%q", have, others, load.Status, load.Failures)
	}
	m.t.Logf("%d requests in %s", load.Requests, time.Since(begun).Round(time.Millisecond))
}
