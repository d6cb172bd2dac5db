package reach

import (
	"slices"
	"sort"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Rules is a route table as one client has it: in order, the first match wins.
type Rules struct {
	Client *check.Workload // nil: a caller without a workload
	Rules  []*check.Rule
	// Extra are further matches that Table.Extra makes sets of.
	Extra []mesh.Match
}

// Table answers which of a route table's rules take which requests.
type Table struct {
	space     *space
	matches   [][]mesh.Match // by rule; nil where the rule is not for the client
	sets      []Set          // what each rule matches, whatever comes before it
	extra     []Set
	pathIndex *pathIndex
}

// NewTable prepares one table.
func NewTable(s *check.Settings, rules Rules) *Table { return NewTables(s, rules)[0] }

// NewTables prepares tables whose sets can be compared with each other.
func NewTables(s *check.Settings, tables ...Rules) []*Table {
	p := newPatterns()
	var formulas []formula
	out := make([]*Table, len(tables))
	for i := range tables {
		out[i] = &Table{}
		for _, r := range tables[i].Rules {
			matches := r.MatchesFor(tables[i].Client)
			out[i].matches = append(out[i].matches, matches)
			formulas = append(formulas, ofMatches(matches))
		}
		for _, m := range tables[i].Extra {
			formulas = append(formulas, ofMatches([]mesh.Match{m}))
		}
	}
	sp := newSpace(formulas, newNormalization(s), p)
	for i, t := range out {
		n := len(t.matches)
		t.prepare(sp, formulas[:n])
		formulas = formulas[n:]
		for k := range tables[i].Extra {
			t.extra = append(t.extra, sp.setOf(formulas[k].products))
			t.extra[k].holds = func(m *message, _ *caller) bool { return p.match(&tables[i].Extra[k], m) }
		}
		formulas = formulas[len(tables[i].Extra):]
	}
	return out
}

// Extra returns the requests that the i-th of Rules.Extra matches.
func (t *Table) Extra(i int) Set { return t.extra[i] }

func (t *Table) prepare(s *space, formulas []formula) {
	t.space = s
	t.sets = make([]Set, len(formulas))
	for i, f := range formulas {
		t.sets[i] = s.setOf(f.products)
		t.sets[i].holds = func(m *message, _ *caller) bool { return t.matchesRule(i, m) }
	}
	t.pathIndex = newPathIndex(s, t.sets)
}

func (t *Table) matchesRule(k int, m *message) bool {
	for i := range t.matches[k] {
		if t.space.patterns.match(&t.matches[k][i], m) {
			return true
		}
	}
	return false
}

// First returns the rule that takes a request, -1 where none does.
func (t *Table) First(p *Sample) int { return t.firstOf(p.message("")) }

// Region returns the requests that rule k takes: its matches less all earlier ones'.
func (t *Table) Region(k int) Set {
	out := t.sets[k]
	for _, i := range t.pathIndex.overlapping(t.sets[k], k) {
		out = out.Subtract(t.sets[i])
	}
	out.holds = func(m *message, _ *caller) bool { return t.firstOf(m) == k }
	return out
}

func (t *Table) firstOf(m *message) int {
	for _, k := range t.pathIndex.at(m.path) {
		if t.matchesRule(int(k), m) {
			return int(k)
		}
	}
	return -1
}

// Reach is whether a rule takes any request.
type Reach struct {
	// Verdict of the requests that the rule takes.
	Verdict Verdict
	// Sample of NonEmpty goes to the rule. Sample of Empty matches the rule and
	// goes to Taker instead; it is nil where no request matches the rule at all.
	Sample *Sample
	Taker  int
	// Covering are the earlier rules that together take all of the rule's
	// requests, none of which can be left out.
	Covering []int
}

// Reachable decides whether rule k takes any request.
func (t *Table) Reachable(k int) Reach {
	set := t.sets[k]
	switch {
	case len(set.cubes) == 0 && !t.holdsForLines(k, nil):
		return Reach{Verdict: Unproven, Taker: -1}
	case len(set.cubes) == 0:
		return Reach{Verdict: Empty, Taker: -1}
	case !set.exact:
		return Reach{Verdict: Unproven, Taker: -1}
	}
	if p := t.probe(k); p != nil {
		return Reach{Verdict: NonEmpty, Sample: p, Taker: k}
	}
	rest, contributors, ok := t.remainder(set, t.pathIndex.overlapping(set, k))
	if ok && len(rest.cubes) == 0 {
		out := t.covered(k, contributors)
		if !t.holdsForLines(k, out.Covering) {
			return Reach{Verdict: Unproven, Taker: -1}
		}
		return out
	}
	rest.holds = func(m *message, _ *caller) bool { return t.firstOf(m) == k }
	verdict, p := rest.Witness()
	return Reach{Verdict: verdict, Sample: p, Taker: k}
}

// maxProbes bounds the requests tried before sets are computed.
const maxProbes = 4

func (t *Table) probe(k int) *Sample {
	for start := range maxStarts {
		for _, c := range t.sets[k].cubes[:min(len(t.sets[k].cubes), maxProbes)] {
			if p, ok := t.space.point(c, start); ok && t.First(p) == k {
				return p
			}
		}
	}
	return nil
}

// remainder is what earlier rules leave of a set, and which of them took something.
func (t *Table) remainder(set Set, earlier []int) (rest Set, contributors []int, ok bool) {
	rest, ok = set, true
	for _, i := range earlier {
		if !t.sets[i].exact {
			ok = false
			continue
		}
		left, fits := t.space.subtractAll(rest.cubes, t.sets[i].cubes)
		if !fits {
			return rest, contributors, false
		}
		if !sameCubes(left, rest.cubes) {
			contributors = append(contributors, i)
		}
		if rest.cubes = left; len(left) == 0 {
			return rest, contributors, true
		}
	}
	return rest, contributors, ok
}

// sameCubes: subtraction keeps the very same cubes where it takes nothing. Where
// no rule asks for anything, a space has no dimension and one cube.
func sameCubes(a, b []cube) bool {
	return slices.EqualFunc(a, b, func(x, y cube) bool { return len(x) == 0 || &x[0] == &y[0] })
}

// maxGreedy bounds the covering sets that are made minimal.
const maxGreedy = 64

func (t *Table) covered(k int, covering []int) Reach {
	out := Reach{Verdict: Empty, Taker: -1, Covering: covering}
	for i := len(covering) - 1; i >= 0 && len(covering) <= maxGreedy; i-- {
		without := slices.Delete(slices.Clone(out.Covering), i, i+1)
		if rest, _, ok := t.remainder(t.sets[k], without); ok && len(rest.cubes) == 0 {
			out.Covering = without
		}
	}
	if verdict, p := t.sets[k].Witness(); verdict == NonEmpty {
		out.Sample, out.Taker = p, t.First(p)
	}
	return out
}

// pathIndex finds the rules that concern a path.
type pathIndex struct {
	dim    *dimension // nil: no rule asks for a path
	n      int32
	nodes  [][]int32 // a segment tree over the path's atoms: rules by node
	starts []start   // by atom
	all    []int32
}

// start is where a range of a rule's path begins.
type start struct{ atom, rule int32 }

func newPathIndex(s *space, sets []Set) *pathIndex {
	x := &pathIndex{}
	base, ok := s.byKey[dimKey{kind: dimPath}]
	if !ok {
		for k := range sets {
			x.all = append(x.all, int32(k))
		}
		return x
	}
	x.dim = s.dims[base]
	x.n = int32(len(x.dim.cuts)) + 1
	x.nodes = make([][]int32, 2*x.n)
	for k := range sets {
		for _, r := range pathsOf(s, base, sets[k].cubes) {
			x.insert(r, int32(k))
			x.starts = append(x.starts, start{r.lo, int32(k)})
		}
	}
	sort.SliceStable(x.starts, func(i, j int) bool { return x.starts[i].atom < x.starts[j].atom })
	return x
}

func pathsOf(s *space, base int, cubes []cube) atomSet {
	sets := make([]atomSet, len(cubes))
	for i, c := range cubes {
		sets[i] = s.get(c, base)
	}
	return union(sets...)
}

func (x *pathIndex) insert(r span, rule int32) {
	for lo, hi := r.lo+x.n, r.hi+x.n; lo < hi; lo, hi = lo/2, hi/2 {
		if lo&1 == 1 {
			x.nodes[lo] = append(x.nodes[lo], rule)
			lo++
		}
		if hi&1 == 1 {
			hi--
			x.nodes[hi] = append(x.nodes[hi], rule)
		}
	}
}

// at returns the rules that may match a path, in order.
func (x *pathIndex) at(path string) []int32 {
	if x.dim == nil {
		return x.all
	}
	return x.atAtom(x.dim.atom(path))
}

func (x *pathIndex) atAtom(atom int32) []int32 {
	var out []int32
	for node := atom + x.n; node > 0; node /= 2 {
		out = append(out, x.nodes[node]...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// overlapping returns the rules before k that share paths with a set, in order.
func (x *pathIndex) overlapping(set Set, k int) []int {
	found := x.all
	if x.dim != nil {
		base := set.space.byKey[dimKey{kind: dimPath}]
		for _, r := range pathsOf(set.space, base, set.cubes) {
			found = append(found, x.atAtom(r.lo)...)
			i := sort.Search(len(x.starts), func(i int) bool { return x.starts[i].atom > r.lo })
			for ; i < len(x.starts) && x.starts[i].atom < r.hi; i++ {
				found = append(found, x.starts[i].rule)
			}
		}
	}
	out := make([]int, 0, len(found))
	for _, rule := range found {
		if int(rule) < k {
			out = append(out, int(rule))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
