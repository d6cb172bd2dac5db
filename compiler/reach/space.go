package reach

import (
	"cmp"
	"slices"
)

// space is the dimensions that a number of formulas speak of.
type space struct {
	patterns *patterns
	dims     []*dimension // base dimensions, by key
	byKey    map[dimKey]int
	full     []atomSet // by index: base dimensions, then opaque ones
	owner    []int     // by index: the base dimension
	spent    int       // cells of cubes that were looked at
}

// cube is a product of sets, one for each dimension; nil is everything.
type cube []atomSet

// newSpace finds the atoms that tell the formulas apart.
func newSpace(formulas []formula, n *normalization, p *patterns) *space {
	preds := collect(formulas)
	keys := make([]dimKey, 0, len(preds))
	for k := range preds {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b dimKey) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name)) })

	s := &space{patterns: p, byKey: make(map[dimKey]int, len(keys))}
	for i, k := range keys {
		d := newDimension(k, preds[k].all, n)
		s.byKey[k] = i
		s.dims = append(s.dims, d)
		s.full, s.owner = append(s.full, d.full), append(s.owner, i)
	}
	for i, k := range keys {
		s.addOpaque(i, preds[k].all)
	}
	return s
}

func (s *space) addOpaque(base int, preds []predicate) {
	d := s.dims[base]
	for _, p := range preds {
		if p.opaque() {
			d.opaque = append(d.opaque, opaqueDim{pred: p, index: len(s.full), examples: p.examples()})
			s.full, s.owner = append(s.full, opaqueFull), append(s.owner, base)
		}
	}
}

// predSet is a list of different predicates in order of appearance.
type predSet struct {
	all  []predicate
	seen map[predicate]bool
}

func collect(formulas []formula) map[dimKey]*predSet {
	out := map[dimKey]*predSet{}
	add := func(products []product) {
		for _, p := range products {
			for _, l := range p {
				set := out[l.dim]
				if set == nil {
					set = &predSet{seen: map[predicate]bool{}}
					out[l.dim] = set
				}
				set.add(l.any)
			}
		}
	}
	for i := range formulas {
		add(formulas[i].products)
		add(formulas[i].except)
	}
	return out
}

func (s *predSet) add(preds []predicate) {
	for _, p := range preds {
		if !s.seen[p] {
			s.seen[p] = true
			s.all = append(s.all, p)
		}
	}
}

// What is computed is bounded; beyond it an answer is unproven. maxCubes is for one set.
// maxSpent is for all questions about one space, in cells of cubes, about a quarter of a
// second: a document with thousands of rules that overlap would cost the cube of that.
const (
	maxCubes = 20_000
	maxSpent = 1 << 24
)

// spend counts work on n cubes.
func (s *space) spend(n int) { s.spent += n * len(s.full) }

func (s *space) exhausted() bool { return s.spent > maxSpent }

// cubes of a list of products. ok is false where there are too many.
func (s *space) cubes(products []product) (out []cube, ok bool) {
	for _, p := range products {
		part := []cube{make(cube, len(s.full))}
		for i := range p {
			part = s.constrain(part, &p[i])
			if len(part)+len(out) > maxCubes || s.exhausted() {
				return nil, false
			}
		}
		out = append(out, part...)
	}
	return out, true
}

// constrain intersects cubes with a literal, which may be several alternatives.
func (s *space) constrain(cubes []cube, l *literal) []cube {
	base := s.byKey[l.dim]
	alternatives := s.alternatives(s.dims[base], base, l)
	s.spend(len(alternatives))
	var out []cube
	for _, c := range cubes {
		for _, a := range alternatives {
			if both, ok := s.intersect(c, a); ok {
				out = append(out, both)
			}
		}
	}
	return out
}

// alternatives of a literal: all decided predicates are one set; each opaque one
// is its own.
func (s *space) alternatives(d *dimension, base int, l *literal) []cube {
	var decided []atomSet
	var opaque []*opaqueDim
	for _, p := range l.any {
		if o := d.opaqueOf(p); o != nil {
			opaque = append(opaque, o)
		} else {
			decided = append(decided, d.set(p))
		}
	}
	set := union(decided...).intersect(d.present())
	if l.negate {
		return s.negated(d, base, l, set, opaque)
	}
	var out []cube
	if !set.empty() {
		out = append(out, s.cubeOf(base, set))
	}
	for _, o := range opaque {
		c := s.cubeOf(base, d.set(o.pred).intersect(d.present()))
		c[o.index] = opaqueYes
		out = append(out, c)
	}
	return out
}

func (s *space) negated(d *dimension, base int, l *literal, set atomSet, opaque []*opaqueDim) []cube {
	rest := d.present().subtract(set)
	missing := single(absent).intersect(d.full)
	if len(opaque) == 0 && l.absent {
		return []cube{s.cubeOf(base, union(rest, missing))}
	}
	c := s.cubeOf(base, rest)
	for _, o := range opaque {
		c[o.index] = opaqueNo
	}
	out := []cube{c}
	if l.absent && !missing.empty() {
		out = append(out, s.cubeOf(base, missing))
	}
	return out
}

func (d *dimension) opaqueOf(p predicate) *opaqueDim {
	if !p.opaque() {
		return nil
	}
	for i := range d.opaque {
		if d.opaque[i].pred == p {
			return &d.opaque[i]
		}
	}
	return nil
}

func (s *space) cubeOf(dim int, set atomSet) cube {
	c := make(cube, len(s.full))
	c[dim] = set
	return c
}

func (s *space) get(c cube, dim int) atomSet {
	if c[dim] == nil {
		return s.full[dim]
	}
	return c[dim]
}

// intersect fails where nothing is in both.
func (s *space) intersect(a, b cube) (cube, bool) {
	out := make(cube, len(a))
	s.spend(1)
	for i := range a {
		switch {
		case a[i] == nil:
			out[i] = b[i]
		case b[i] == nil:
			out[i] = a[i]
		default:
			out[i] = a[i].intersect(b[i])
		}
		if out[i] != nil && out[i].empty() {
			return nil, false
		}
	}
	return out, !s.impossible(out)
}

func (s *space) overlaps(a, b cube) bool {
	s.spend(1)
	for i := range a {
		if a[i] != nil && b[i] != nil && !a[i].overlaps(b[i]) {
			return false
		}
	}
	return true
}

// subtract returns what of a is not in b, as disjoint cubes.
func (s *space) subtract(a, b cube) []cube {
	if !s.overlaps(a, b) {
		return []cube{a}
	}
	var out []cube
	rest := slices.Clone(a)
	for i := range b {
		if b[i] == nil {
			continue
		}
		have := s.get(rest, i)
		if outside := have.subtract(b[i]); !outside.empty() {
			piece := slices.Clone(rest)
			piece[i] = outside
			s.spend(1)
			if !s.impossible(piece) {
				out = append(out, piece)
			}
		}
		rest[i] = have.intersect(b[i])
	}
	return out
}

// subtractAll stops with ok false where there are too many pieces.
func (s *space) subtractAll(from []cube, what []cube) (out []cube, ok bool) {
	out = from
	for _, b := range what {
		var next []cube
		for _, a := range out {
			if s.exhausted() {
				return from, false
			}
			next = append(next, s.subtract(a, b)...)
		}
		if out = next; len(out) > maxCubes {
			return out, false
		}
	}
	return out, true
}

// maxTried bounds the values that are tried for one dimension of a cube.
const maxTried = 16

// impossible reports a cube that no request is in: opaque predicates are
// evaluated for the values of sets that are a few single values.
func (s *space) impossible(c cube) bool {
	for i, d := range s.dims {
		if len(d.opaque) > 0 && c[i] != nil && s.contradicts(c, i, d) {
			return true
		}
	}
	return false
}

func (s *space) contradicts(c cube, base int, d *dimension) bool {
	if c[base].size() > maxTried || !d.constrained(c) {
		return false
	}
	for atom := range c[base].all {
		if !d.exactly(atom) || s.agrees(c, d, atom) {
			return false
		}
	}
	return true
}

func (d *dimension) constrained(c cube) bool {
	return slices.ContainsFunc(d.opaque, func(o opaqueDim) bool { return c[o.index] != nil })
}

// exactly reports whether an atom is one value, or absence.
func (d *dimension) exactly(atom int32) bool {
	return atom == absent || int(atom) < len(d.cuts) && d.cuts[atom] == d.cuts[atom-1]+"\x00"
}

// agrees evaluates the opaque predicates for an atom of one value.
func (s *space) agrees(c cube, d *dimension, atom int32) bool {
	return s.agreesValue(c, d, d.valueOf(atom), atom != absent)
}

func (d *dimension) valueOf(atom int32) string {
	if atom == absent {
		return ""
	}
	return d.cuts[atom-1]
}

func (s *space) agreesValue(c cube, d *dimension, value string, present bool) bool {
	for i := range d.opaque {
		o := &d.opaque[i]
		if c[o.index] != nil && !c[o.index].contains(truth(present && o.pred.holds(s.patterns, value))) {
			return false
		}
	}
	return true
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
