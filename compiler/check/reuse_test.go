package check_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// variants reads the documents of testdata/variants.yaml: groups that stand for
// one place in a repository, each with alternatives. The empty alternative is
// added: any document may be missing.
func variants(t *testing.T) [][][]*mesh.Fragment {
	text, err := os.ReadFile("testdata/variants.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var groups [][][]*mesh.Fragment
	for _, group := range strings.Split(string(text), "\n=====\n") {
		alternatives := [][]*mesh.Fragment{nil}
		for _, doc := range strings.Split(group, "\n-----\n") {
			alternatives = append(alternatives, fragments(t, fstest.MapFS{"a.yaml": {Data: []byte(doc)}}))
		}
		groups = append(groups, alternatives)
	}
	return groups
}

// TestReuse walks through repositories that differ in one place, and compares
// what is made with the previous result with what is made from nothing.
func TestReuse(t *testing.T) {
	groups := variants(t)
	random := rand.New(rand.NewPCG(1, 2))
	now := make([]int, len(groups))
	for i := range now {
		now[i] = 1
	}
	var previous *check.Mesh
	taken := 0
	for range 400 {
		var all []*mesh.Fragment
		for i, n := range now {
			all = append(all, groups[i][n]...)
		}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		warm, warmDiags := check.Run(all, check.Options{Previous: previous})
		slices.Reverse(all)
		cold, coldDiags := check.Run(all, check.Options{})
		equalMeshes(t, now, warm, cold, warmDiags, coldDiags)
		if t.Failed() {
			return
		}
		taken += takenOver(previous, warm)
		previous = warm
		i := random.IntN(len(now))
		now[i] = random.IntN(len(groups[i]))
	}
	if taken < 400 {
		t.Errorf("%d services were taken over in 400 runs: reuse does nothing", taken)
	}
}

func equalMeshes(t *testing.T, now []int, warm, cold *check.Mesh, warmDiags, coldDiags diag.List) {
	t.Helper()
	if diff := cmp.Diff(text(coldDiags), text(warmDiags)); diff != "" {
		t.Errorf("%v: diagnostics (-cold +warm):\n%s", now, diff)
	}
	if diff := cmp.Diff(dump(t, cold), dump(t, warm)); diff != "" {
		t.Errorf("%v: mesh (-cold +warm):\n%s", now, diff)
	}
	// DeepEqual follows cycles, and sees what the dump names or leaves out.
	if !reflect.DeepEqual(warm.Services(), cold.Services()) || !reflect.DeepEqual(warm.Workloads(), cold.Workloads()) {
		t.Errorf("%v: the same text, but not the same values", now)
	}
	if diff := cmp.Diff(cold.Places(), warm.Places()); diff != "" {
		t.Errorf("%v: places (-cold +warm):\n%s", now, diff)
	}
	reachable(t, warm)
}

// reachable demands that everything a mesh points to is of that mesh.
func reachable(t *testing.T, m *check.Mesh) {
	t.Helper()
	own := func(p *check.Port) bool { return m.Service(p.Service.Key()).Port(p.Number) == p }
	for _, s := range m.Services() {
		for _, p := range s.Ports {
			for _, r := range p.Rules {
				for _, d := range r.To {
					if !own(d.Backend.Port) {
						t.Errorf("rule %s points to a backend of an earlier mesh", r.ID)
					}
				}
			}
		}
	}
	for _, w := range m.Workloads() {
		for _, s := range w.Uses {
			if m.Service(s.Key()) != s {
				t.Errorf("workload %s uses a service of an earlier mesh", w.Key())
			}
		}
		for _, in := range w.Inbound {
			for _, p := range in.Services {
				if !own(p) {
					t.Errorf("workload %s listens for a port of an earlier mesh", w.Key())
				}
			}
		}
	}
}

func takenOver(previous, now *check.Mesh) int {
	n := 0
	for _, s := range now.Services() {
		if previous != nil && previous.Service(s.Key()) == s {
			n++
		}
	}
	return n
}

// TestOrder compiles the same fragments in many orders.
func TestOrder(t *testing.T) {
	var all []*mesh.Fragment
	for _, alternatives := range variants(t) {
		all = append(all, alternatives[1]...)
	}
	random := rand.New(rand.NewPCG(3, 4))
	first, firstDiags := check.Run(all, check.Options{})
	want, err := first.Dump()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		m, diags := check.Run(all, check.Options{})
		got, err := m.Dump()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) || text(firstDiags) != text(diags) {
			t.Fatal("another order of the fragments gives another mesh")
		}
	}
}
