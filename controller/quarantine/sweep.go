package quarantine

import (
	"bytes"
	"slices"
)

// trial is an object, or else a namespace that is frozen for one that did not change.
type trial struct{ path, scope string }

// maxTrials bounds the compilations that the held objects of one namespace cost. What is
// left then stays held back, though it may be in vain: its owners have as many others.
const maxTrials = 64

// sweep tries to take what may be held back in vain: first the namespaces, all of them,
// so that nobody pays for what another holds; then objects, by rank.
func (s *settling) sweep() {
	var scopes []trial
	var order []string // of the namespaces of objects, as they were held back
	objects, left := map[string][]trial{}, map[string]*int{}
	for _, t := range s.trials {
		if t.path == "" {
			scopes = append(scopes, t)
			continue
		}
		scope := s.meta(t.path).Scope()
		if left[scope] == nil {
			n := maxTrials
			order, left[scope] = append(order, scope), &n
		}
		objects[scope] = append(objects[scope], t)
	}
	all := 2 * len(scopes) // what halving needs at most
	s.try(scopes, &all)
	for rank := range ranks {
		for _, scope := range order {
			s.try(slices.DeleteFunc(slices.Clone(objects[scope]), func(t trial) bool { return s.rank(t.path) != rank }), left[scope])
		}
	}
}

// try takes all of it, or else each half.
func (s *settling) try(trials []trial, left *int) {
	plan := s.plan
	for _, t := range trials {
		plan = plan.without(t)
	}
	if plan.size() == s.plan.size() || *left == 0 {
		return
	}
	*left--
	if result := s.compile(plan); !result.Diagnostics.HasErrors() && len(s.expired(plan, result.Diagnostics)) == 0 {
		s.plan, s.result = plan, result
		return
	}
	if half := len(trials) / 2; half > 0 {
		s.try(trials[:half], left)
		s.try(trials[half:], left)
	}
}

const ranks = 3

// rank says in which order objects are tried that are in each other's way: changed
// ones, then new ones, and last what was held back before and is the same.
func (s *settling) rank(path string) int {
	if before, ok := s.Before[path]; ok && bytes.Equal(before, s.Current[path].Data) {
		return 2
	}
	if _, accepted := s.Accepted[path]; !accepted {
		return 1
	}
	return 0
}
