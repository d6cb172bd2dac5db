package objects_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// TestSet edits sets at random, beside maps: all versions stay as they were, and
// what changed between two is what maps say.
func TestSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	sets, same := []*objects.Set{objects.NewSet()}, []map[string]string{{}}
	for n := range 300 {
		i := random.IntN(len(sets))
		name := fmt.Sprintf("%c/%02d.yaml", 'a'+random.IntN(3), random.IntN(20))
		now := maps.Clone(same[i])
		if random.IntN(3) == 0 {
			delete(now, name)
			sets = append(sets, sets[i].Without(name))
		} else {
			now[name] = fmt.Sprint(n % 7)
			sets = append(sets, sets[i].With(name, []byte(now[name])))
		}
		same = append(same, now)
	}
	for range 300 {
		i, k := random.IntN(len(sets)), random.IntN(len(sets))
		var want []string
		for name := range fstest.MapFS(both(same[i], same[k])) {
			a, inA := same[i][name]
			if b, inB := same[k][name]; inA != inB || a != b {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		got, ok := sets[i].Changes(sets[k])
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Fatalf("changes from %d to %d (-want +got):\n%s", k, i, diff)
		}
	}
	for i, set := range sets {
		if diff := cmp.Diff(same[i], contents(t, set)); diff != "" || set.Len() != len(same[i]) {
			t.Fatalf("set %d of %d files (-want +got):\n%s", i, set.Len(), diff)
		}
		if err := fstest.TestFS(set, slices.Sorted(maps.Keys(same[i]))...); err != nil {
			t.Fatal(err)
		}
	}
}

func both(a, b map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name := range a {
		out[name] = nil
	}
	for name := range b {
		out[name] = nil
	}
	return out
}

func contents(t *testing.T, set *objects.Set) map[string]string {
	out := map[string]string{}
	err := fs.WalkDir(set, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(set, name)
		out[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Paths(); !slices.Equal(got, slices.Sorted(maps.Keys(out))) {
		t.Errorf("paths %q", got)
	}
	return out
}

func TestFilter(t *testing.T) {
	all := objects.NewSet()
	for _, name := range []string{"a/x.yaml", "a/y.yaml", "b/x.yaml"} {
		all = all.With(name, []byte(name))
	}
	for _, test := range []struct {
		keep string
		want []string
	}{
		{"x.yaml", []string{"a/x.yaml", "b/x.yaml"}},
		{"yaml", []string{"a/x.yaml", "a/y.yaml", "b/x.yaml"}},
		{"none", []string{}},
	} {
		got := all.Filter(func(name string) bool { return strings.HasSuffix(name, test.keep) })
		if !slices.Equal(got.Paths(), test.want) || got.Len() != len(test.want) {
			t.Errorf("of %q %d are kept: %q, want %q", test.keep, got.Len(), got.Paths(), test.want)
		}
	}
	if all.Len() != 3 {
		t.Errorf("the set has become %q", all.Paths())
	}
}
