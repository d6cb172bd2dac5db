package quarantine

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

// change is what differs in a namespace from what was accepted, and is not frozen.
type change struct {
	facts bool // a fact was changed or deleted: no finding names what is not there
	// bound: it must not be brought back. A source refuses errors, or a new object
	// speaks for the whole mesh, for which nothing narrower can be closed.
	bound bool
}

// changes are the namespaces that can be brought back.
func (s *settling) changes(p *plan) map[string]change {
	out := map[string]change{}
	for _, path := range s.paths() {
		now, there := s.Current[path]
		was, accepted := s.Accepted[path]
		m, kind := s.meta(path), s.kind(path)
		if p.frozen[m.Scope()] != nil || there && accepted && bytes.Equal(now.Data, was.Data) {
			continue
		}
		c := out[m.Scope()]
		c.facts = c.facts || accepted && fact(kind)
		c.bound = c.bound || there && s.Refuse(path) || !accepted && kind.Restricts && m.MeshWide()
		out[m.Scope()] = c
	}
	maps.DeleteFunc(out, func(_ string, c change) bool { return c.bound })
	return out
}

// freeze brings back a namespace, unless that was tried before or changes nothing.
func (s *settling) freeze(scope string, why *cause, before *plan) (tried bool) {
	if _, ok := s.changes(before)[scope]; !ok {
		return false
	}
	s.plan.freeze(scope, why)
	if t := (trial{scope: scope}); !slices.Contains(s.trials, t) {
		s.trials = append(s.trials, t)
	}
	return true
}

// rollBack brings back more namespaces: first those that the findings name, then those
// in which facts changed. Each time there are twice as many, so that few compilations
// reach them all; the sweep gives back those that are not the cause. At the end the
// objects of the cluster are what was accepted.
func (s *settling) rollBack(found diag.List) bool {
	changes, named := s.changes(s.plan), s.named(found)
	rank := func(scope string) int {
		switch {
		case named[scope] && changes[scope].facts:
			return 0
		case named[scope]:
			return 1
		case changes[scope].facts:
			return 2
		}
		return 3
	}
	scopes := slices.SortedFunc(maps.Keys(changes), func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
	if len(scopes) == 0 {
		left := len(s.plan.dropped) > 0
		clear(s.plan.dropped)
		s.rolled = true
		return left
	}
	for d := range standing(found) {
		why := s.because("", d)
		for _, scope := range scopes[:min(s.batch, len(scopes))] {
			s.freeze(scope, why, s.plan)
		}
		break
	}
	s.batch *= 2
	return true
}

// named are the words of errors and of the objects that they are about: a namespace that
// a finding is about is one of them, or else the object selects by labels.
func (s *settling) named(found diag.List) map[string]bool {
	out := map[string]bool{}
	note := func(text string) {
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }) {
			out[word] = true
		}
	}
	about := func(file string) {
		if path, ok := s.path(file); ok {
			data, _ := s.files.Get(path)
			note(string(data))
		}
	}
	for d := range standing(found) {
		note(d.Message)
		about(d.Span.File)
		for _, r := range d.Related {
			about(r.Span.File)
		}
	}
	return out
}

// kept reports whether a file is an object as it was accepted. That its moment passes
// changes nothing: what expires then is in force as before.
func (s *settling) kept(p *plan) func(file string) bool {
	return func(file string) bool {
		path, ok := s.path(file)
		if !ok || s.Refuse(path) {
			return false
		}
		force, _ := s.version(p, path)
		was, accepted := s.Accepted[path]
		return accepted && bytes.Equal(force.Data, was.Data)
	}
}

// lapse freezes the namespaces of objects that expired and did not change.
func (s *settling) lapse(found diag.List) (frozen bool) {
	for scope, why := range s.expired(s.plan, found) {
		s.plan.freeze(scope, why)
		frozen = true
	}
	return frozen
}

// expired returns the namespaces that should be frozen since something of them expired.
func (s *settling) expired(p *plan, found diag.List) map[string]*cause {
	var out map[string]*cause
	for i := range found {
		d := &found[i]
		path, ok := s.path(d.Span.File)
		if d.Code != check.Expired || d.Severity >= diag.Error || !ok || !bytes.Equal(s.Current[path].Data, s.Accepted[path].Data) {
			continue
		}
		why := s.because(path, d)
		s.lapsed[path] = why
		if out == nil {
			out = map[string]*cause{}
		}
		if scope := s.meta(path).Scope(); out[scope] == nil {
			out[scope] = why
		}
	}
	if out != nil {
		changes := s.changes(p)
		maps.DeleteFunc(out, func(scope string, _ *cause) bool { _, ok := changes[scope]; return !ok })
	}
	return out
}
