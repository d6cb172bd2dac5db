package check

import (
	"slices"
)

// entry is one match of a rule.
type entry struct {
	rule  *Rule
	match int
}

// byPrecedence orders matches by their precedence, over all rules. What ties is in
// the order of the documents' names and of the rules in them: files have no date of
// creation, which the Gateway API compares first. A rule whose matches are torn
// apart stands there several times, under one id.
func byPrecedence(rules []*Rule) []*Rule {
	var entries []entry
	for _, r := range rules {
		for i := range r.Matches {
			entries = append(entries, entry{r, i})
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return slices.Compare(b.rule.Matches[b.match].Precedence, a.rule.Matches[a.match].Precedence)
	})
	var out []*Rule
	for i, e := range entries {
		if i == 0 || entries[i-1].rule != e.rule {
			part := *e.rule
			part.Matches = nil
			out = append(out, &part)
		}
		last := out[len(out)-1]
		m := e.rule.Matches[e.match]
		m.Precedence = nil // decided
		last.Matches = append(last.Matches, m)
	}
	return out
}
