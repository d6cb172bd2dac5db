package reach

import (
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Verdict is a three-valued answer.
type Verdict string

// Verdicts. Unproven is neither: an expression that cannot be decided as a set,
// or too many cases.
const (
	Empty    Verdict = "empty"
	NonEmpty Verdict = "non-empty"
	Unproven Verdict = "unproven"
)

// Set is a set of requests. Sets of one Access or Table call share their atoms
// and can be combined; others cannot. A Set is immutable.
type Set struct {
	space *space
	// cubes hold at least the set's requests, and no more where exact.
	cubes []cube
	exact bool
	holds func(*message, *caller) bool
}

// Intersect returns what is in both.
func (a Set) Intersect(b Set) Set {
	out := Set{space: a.space, exact: a.exact && b.exact, holds: func(m *message, c *caller) bool {
		return a.holds(m, c) && b.holds(m, c)
	}}
	for _, x := range a.cubes {
		for _, y := range b.cubes {
			if both, ok := a.space.intersect(x, y); ok {
				out.cubes = append(out.cubes, both)
			}
			if len(out.cubes) > maxCubes || a.space.exhausted() {
				out.cubes, out.exact = a.cubes, false
				return out
			}
		}
	}
	return out
}

// Subtract returns what is in a and not in b.
func (a Set) Subtract(b Set) Set {
	out := Set{space: a.space, cubes: a.cubes, exact: a.exact && b.exact, holds: func(m *message, c *caller) bool {
		return a.holds(m, c) && !b.holds(m, c)
	}}
	if !b.exact {
		return out // b's cubes hold too much
	}
	rest, ok := a.space.subtractAll(a.cubes, b.cubes)
	out.cubes, out.exact = rest, out.exact && ok
	return out
}

// Union returns what is in either.
func (a Set) Union(b Set) Set {
	return Set{
		space: a.space, cubes: slices.Concat(a.cubes, b.cubes), exact: a.exact && b.exact,
		holds: func(m *message, c *caller) bool { return a.holds(m, c) || b.holds(m, c) },
	}
}

const (
	maxCubesSampled = 256
	maxStarts       = 4
)

// Witness says whether the set is empty, with a request in it where not. The
// request was evaluated; emptiness was proved.
func (a Set) Witness() (Verdict, *Sample) {
	if len(a.cubes) == 0 {
		return Empty, nil
	}
	for start := range maxStarts {
		for _, c := range a.cubes[:min(len(a.cubes), maxCubesSampled)] {
			if p, ok := a.space.point(c, start); ok && a.holds(p.message(""), p.caller()) {
				return NonEmpty, p
			}
		}
	}
	return Unproven, nil
}

// Relation of two sets.
type Relation string

// Relations of a to b.
const (
	Equal        Relation = "equal"
	Less         Relation = "less"    // a is within b
	More         Relation = "more"    // b is within a
	Incomparable Relation = "differs" // each has what the other has not
	Unrelated    Relation = "unproven"
)

// Comparison of two sets, with a request for each difference.
type Comparison struct {
	Relation     Relation
	OnlyA, OnlyB *Sample
}

// Compare says how a relates to b.
func Compare(a, b Set) Comparison {
	left, onlyA := a.Subtract(b).Witness()
	right, onlyB := b.Subtract(a).Witness()
	c := Comparison{OnlyA: onlyA, OnlyB: onlyB}
	switch {
	case left == Unproven || right == Unproven:
		c.Relation = Unrelated
	case left == Empty && right == Empty:
		c.Relation = Equal
	case left == Empty:
		c.Relation = Less
	case right == Empty:
		c.Relation = More
	default:
		c.Relation = Incomparable
	}
	return c
}

// Difference returns a request that is in a and not in b.
func Difference(a, b Set) (Verdict, *Sample) { return a.Subtract(b).Witness() }

// Allowed returns, for each of the access settings, the requests that it allows:
// allow, or everything by default, less deny. Identities are preferred in
// witnesses. The handshake (mTLS) is not part of it.
func Allowed(s *check.Settings, identities []string, settings ...*check.Access) []Set {
	j := &judge{newPatterns(), s.TrustDomain}
	var formulas []formula
	for _, a := range settings {
		for _, r := range slices.Concat(a.Deny, a.Allow) {
			formulas = append(formulas, j.ofAccessRule(r))
		}
	}
	sp := newSpace(formulas, newNormalization(s), j.patterns)
	if i, ok := sp.byKey[identityDim]; ok {
		sp.dims[i].prefer = identities
	}
	out := make([]Set, len(settings))
	for i, a := range settings {
		allow := sp.everything()
		if !a.DefaultAllow {
			allow = j.anyRule(sp, a.Allow)
		}
		out[i] = allow.Subtract(j.anyRule(sp, a.Deny))
		out[i].holds = func(m *message, c *caller) bool { return j.decide(a, c, m).Decision == Allow }
	}
	return out
}

func (s *space) everything() Set {
	return Set{space: s, cubes: []cube{make(cube, len(s.full))}, exact: true, holds: func(*message, *caller) bool { return true }}
}

func (j *judge) anyRule(s *space, rules []*mesh.AccessRule) Set {
	out := Set{space: s, exact: true, holds: func(*message, *caller) bool { return false }}
	for _, r := range rules {
		out = out.Union(j.ruleSet(s, r))
	}
	return out
}

func (j *judge) ruleSet(s *space, r *mesh.AccessRule) Set {
	f := j.ofAccessRule(r)
	out := s.setOf(f.products)
	if len(f.except) > 0 {
		out = out.Subtract(s.setOf(f.except))
	}
	out.holds = func(m *message, c *caller) bool { return j.rule(r, c, m) == yes }
	return out
}

// setOf leaves holds to the caller. Too many cubes become everything.
func (s *space) setOf(products []product) Set {
	cubes, ok := s.cubes(products)
	out := s.everything()
	if out.exact = ok; ok {
		out.cubes = cubes
	}
	return out
}
