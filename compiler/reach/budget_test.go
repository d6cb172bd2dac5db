package reach

import (
	"fmt"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// TestBudget: a table whose rules all overlap costs a bounded amount, and what is not
// decided is unproven: never said to be unreachable, nor to be reached.
func TestBudget(t *testing.T) {
	rules := make([]*check.Rule, 600)
	for i := range rules {
		rules[i] = &check.Rule{Matches: []mesh.Match{{Path: &mesh.StringMatch{Kind: mesh.Regex, Value: fmt.Sprintf("/a.*%d.*", i)}}}}
	}
	table := NewTable(strict, Rules{Rules: rules})
	verdicts := map[Verdict]int{}
	for k := range rules {
		verdicts[table.Reachable(k).Verdict]++
	}
	// One question may begin just before the end.
	if most := maxSpent + 2*len(table.space.full)*maxCubes; table.space.spent > most {
		t.Errorf("%d cells were looked at, at most %d", table.space.spent, most)
	}
	if !table.space.exhausted() || verdicts[Empty] > 0 || verdicts[Unproven] == 0 {
		t.Errorf("the work was not bounded, or something decided without it: %v", verdicts)
	}
}
