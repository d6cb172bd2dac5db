package reach

import (
	"fmt"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// laminar is n nested and neighbouring prefixes and a catch-all, all reachable
// but every hundredth, which repeats an earlier prefix.
func laminar(n int) []*check.Rule {
	rules := make([]*check.Rule, n)
	for i := range rules {
		path := fmt.Sprintf("/team%d/app%d/v%d", i%10, i/10%100, i)
		if i%100 == 99 {
			path = fmt.Sprintf("/team%d/app%d/v%d/x", (i-1)%10, (i-1)/10%100, i-1)
		}
		rules[i] = &check.Rule{Matches: []mesh.Match{{
			Path:    &mesh.StringMatch{Kind: mesh.SegmentPrefix, Value: path},
			Methods: []mesh.StringMatch{{Value: "GET"}, {Value: "POST"}},
		}}}
	}
	rules[n-1].Matches = []mesh.Match{{}}
	return rules
}

func BenchmarkShadow(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		rules := laminar(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table := NewTable(strict, Rules{Rules: rules})
				shadowed := 0
				for k := range rules {
					if table.Reachable(k).Verdict == Empty {
						shadowed++
					}
				}
				if shadowed != n/100-1 {
					b.Fatalf("%d shadowed, want %d", shadowed, n/100-1)
				}
			}
		})
	}
}

func BenchmarkFirst(b *testing.B) {
	table := NewTable(strict, Rules{Rules: laminar(10_000)})
	sample := &Sample{Method: "GET", Path: "/team1/app3/v931/y"}
	for b.Loop() {
		table.First(sample)
	}
}

func BenchmarkSmallTables(b *testing.B) {
	rules := laminar(10)
	b.ReportAllocs()
	for b.Loop() {
		table := NewTable(strict, Rules{Rules: rules})
		for k := range rules {
			table.Reachable(k)
		}
	}
}
