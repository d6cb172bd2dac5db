package corpus

import (
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// most is how many slices Envoy is asked about, spread over the corpus: each
// costs a process.
const most = 100

// caller is a workload beside the documents, so that routes without a workload of
// their own are in somebody's slice.
var caller = fstest.MapFS{"caller.yaml": {Mode: 0o644, Data: []byte(`apiVersion: apps/v1
kind: Deployment
metadata: {name: corpus-caller, namespace: default}
spec:
  selector: {matchLabels: {app: corpus-caller}}
  template:
    metadata: {labels: {app: corpus-caller}}
    spec: {containers: [{name: caller, image: caller}]}
`)}}

// slice is one of a unit's, a static bootstrap as JSON.
type slice struct {
	unit, workload string
	bootstrap      []byte
}

// TestSlicesAreValid has Envoy validate what is generated of each file, directory
// and repository that compiles without errors.
func TestSlicesAreValid(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Envoy for each slice; left out by -short")
	}
	envoytest.Require(t)
	units := slices.Concat(repositories(t), directories(t), files(t))
	all, built := distinct(t, units)
	if built == 0 || len(all) == 0 {
		t.Fatalf("%d of %d units compile, with %d slices", built, len(units), len(all))
	}
	chosen := spread(all, most)
	t.Logf("%d of %d units compile, with %d distinct slices; validating %d", built, len(units), len(all), len(chosen))
	validate(t, chosen)
}

// distinct builds the units and returns their slices, equal ones once.
func distinct(t *testing.T, units []unit) (all []slice, built int) {
	t.Helper()
	seen := map[artifact.Digest]bool{}
	for _, u := range units {
		result, _ := u.compile(t, caller)
		if result == nil || result.Release == nil {
			continue
		}
		built++
		for _, leaf := range result.Release.Leaves() {
			if seen[leaf.Slice] {
				continue
			}
			seen[leaf.Slice] = true
			all = append(all, slice{u.name, leaf.Workload, static(t, result.Release, leaf)})
		}
	}
	return all, built
}

func static(t *testing.T, r *artifact.Release, l artifact.Leaf) []byte {
	t.Helper()
	b, err := meshtest.Static(r, l)
	if err != nil {
		t.Fatal(err)
	}
	text, err := xds.JSON(b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// spread chooses at most n of a list, at even distances.
func spread[T any](all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	chosen := make([]T, n)
	for i := range chosen {
		chosen[i] = all[i*len(all)/n]
	}
	return chosen
}

func validate(t *testing.T, chosen []slice) {
	t.Helper()
	work := make(chan slice)
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for s := range work {
				if err := envoytest.Validate(t.Context(), s.bootstrap); err != nil {
					t.Errorf("%s: the slice of %s: %v", s.unit, s.workload, err)
				}
			}
		})
	}
	for _, s := range chosen {
		work <- s
	}
	close(work)
	running.Wait()
}
