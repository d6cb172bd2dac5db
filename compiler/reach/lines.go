package reach

import "slices"

// holdsForLines reports whether "the covering rules take all of rule k's
// requests", proved for headers of one line, holds for repeated headers, too.
//
// A condition holds where one line meets it, an inverted one where none does. A
// request of several lines is thus as good as one with a single line of it that
// is chosen well: one that rule k asks for, or one that an inverted condition of a
// covering rule refuses. Where both are asked, or several, nothing is proved.
func (t *Table) holdsForLines(k int, covering []int) bool {
	for _, own := range ofMatches(t.matches[k]).products {
		chosen := map[dimKey][]predicate{}
		for _, l := range own {
			if !chooses(chosen, &l, !l.negate) {
				return false
			}
		}
		for _, i := range covering {
			for _, p := range ofMatches(t.matches[i]).products {
				for _, l := range p {
					if !chooses(chosen, &l, l.negate && !l.refusesAny() && !own.has(&l)) {
						return false
					}
				}
			}
		}
	}
	return true
}

// chooses notes that a line is to be one of a literal's. It fails where another
// literal has chosen already.
func chooses(chosen map[dimKey][]predicate, l *literal, needed bool) bool {
	if !needed || l.dim.kind != dimHeader {
		return true
	}
	before, taken := chosen[l.dim]
	chosen[l.dim] = l.any
	return !taken || slices.Equal(before, l.any)
}

// refusesAny: a header that is to be absent has no line either way.
func (l *literal) refusesAny() bool { return slices.Contains(l.any, predicate{kind: predAny}) }

func (p product) has(l *literal) bool {
	return slices.ContainsFunc(p, func(o literal) bool {
		return o.dim == l.dim && o.negate == l.negate && slices.Equal(o.any, l.any)
	})
}
