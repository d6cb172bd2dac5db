package reach

import (
	"slices"
	"sort"
)

// span is a range of atoms, end exclusive.
type span struct{ lo, hi int32 }

// atomSet is a set of atoms of one dimension: sorted spans that neither overlap
// nor touch. It is immutable. The operations never return nil, which in a cube
// means everything.
type atomSet []span

func single(i int32) atomSet { return atomSet{{i, i + 1}} }

func (a atomSet) empty() bool { return len(a) == 0 }

func (a atomSet) contains(i int32) bool {
	n := sort.Search(len(a), func(k int) bool { return a[k].hi > i })
	return n < len(a) && a[n].lo <= i
}

func (a atomSet) size() int {
	n := 0
	for _, s := range a {
		n += int(s.hi - s.lo)
	}
	return n
}

// all yields the atoms in order.
func (a atomSet) all(yield func(int32) bool) {
	for _, s := range a {
		for i := s.lo; i < s.hi; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

func (a atomSet) intersect(b atomSet) atomSet {
	out := atomSet{}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if lo, hi := max(a[i].lo, b[j].lo), min(a[i].hi, b[j].hi); lo < hi {
			out = append(out, span{lo, hi})
		}
		if a[i].hi < b[j].hi {
			i++
		} else {
			j++
		}
	}
	return out
}

func (a atomSet) overlaps(b atomSet) bool {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if max(a[i].lo, b[j].lo) < min(a[i].hi, b[j].hi) {
			return true
		}
		if a[i].hi < b[j].hi {
			i++
		} else {
			j++
		}
	}
	return false
}

func (a atomSet) subtract(b atomSet) atomSet {
	out := atomSet{}
	j := 0
	for _, s := range a {
		for j < len(b) && b[j].hi <= s.lo {
			j++
		}
		for k := j; k < len(b) && b[k].lo < s.hi; k++ {
			if b[k].lo > s.lo {
				out = append(out, span{s.lo, b[k].lo})
			}
			s.lo = max(s.lo, b[k].hi)
		}
		if s.lo < s.hi {
			out = append(out, s)
		}
	}
	return out
}

// union sorts and joins spans.
func union(sets ...atomSet) atomSet {
	all := slices.Concat(sets...)
	slices.SortFunc(all, func(a, b span) int { return int(a.lo - b.lo) })
	out := atomSet{}
	for _, s := range all {
		if n := len(out); n > 0 && s.lo <= out[n-1].hi {
			out[n-1].hi = max(out[n-1].hi, s.hi)
		} else if s.lo < s.hi {
			out = append(out, s)
		}
	}
	return out
}
