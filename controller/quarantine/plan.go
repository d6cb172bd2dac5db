package quarantine

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// plan is what is not taken as the cluster holds it.
type plan struct {
	held    map[string]*cause   // objects that stay as they were accepted
	dropped map[string]*cause   // objects that are left out though they were accepted
	frozen  map[string][]*cause // namespaces that stay as they were accepted
}

// cause is the error for which something is held back.
type cause struct {
	path  string // the object at fault, "" where it is none of the cluster
	at    string // the object that has it, "" where it is none of the cluster
	field string // of that object
	diag.Diagnostic
}

func newPlan() *plan {
	return &plan{held: map[string]*cause{}, dropped: map[string]*cause{}, frozen: map[string][]*cause{}}
}

func (p *plan) clone() *plan {
	return &plan{maps.Clone(p.held), maps.Clone(p.dropped), maps.Clone(p.frozen)}
}

// size rises with all that is held back.
func (p *plan) size() int { return len(p.held) + len(p.dropped) + len(p.frozen) }

func (p *plan) holds(path string) bool { return p.held[path] != nil }

func (p *plan) freeze(scope string, why *cause) {
	p.frozen[scope] = append(slices.Clip(p.frozen[scope]), why)
}

// without is a plan that takes something as it is, and what is held back only for it.
func (p *plan) without(t trial) *plan {
	out := p.clone()
	if t.path == "" {
		out.thaw(t.scope, func(c *cause) bool { return out.held[c.path] == nil })
		return out
	}
	delete(out.held, t.path)
	delete(out.dropped, t.path)
	for scope := range p.frozen {
		out.thaw(scope, func(c *cause) bool { return c.path == t.path })
	}
	return out
}

// thaw forgets causes for which a namespace is frozen, and gives it up with the last.
func (p *plan) thaw(scope string, forget func(*cause) bool) {
	p.frozen[scope] = slices.DeleteFunc(slices.Clone(p.frozen[scope]), forget)
	if len(p.frozen[scope]) == 0 {
		delete(p.frozen, scope)
	}
}

// version is the version of an object that is in force under a plan.
func (s *settling) version(p *plan, path string) (Object, bool) {
	now, there := s.Current[path]
	was, accepted := s.Accepted[path]
	switch {
	case p.dropped[path] != nil:
		return Object{}, false
	case there && accepted && bytes.Equal(now.Data, was.Data):
		return now, true
	case p.held[path] != nil || p.frozen[s.meta(path).Scope()] != nil:
		return was, accepted
	}
	return now, there
}

// paths are those of all objects, sorted.
func (s *settling) paths() []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(s.Current)), maps.Keys(s.Accepted))
	slices.Sort(all)
	return slices.Compact(all)
}

func (s *settling) inForce(p *plan) map[string]Object {
	out := make(map[string]Object, len(s.Current))
	for _, path := range s.paths() {
		if o, ok := s.version(p, path); ok {
			out[path] = o
		}
	}
	return out
}

// filesOf are the objects in force as files.
func (s *settling) filesOf(p *plan) *objects.Set {
	if p.size() == 0 {
		return s.Files
	}
	force := s.inForce(p)
	files := s.Files.Filter(func(path string) bool { _, ok := force[path]; return ok })
	for path, o := range force {
		if have, ok := files.Get(path); !ok || !bytes.Equal(have, o.Data) {
			files = files.With(path, o.Data)
		}
	}
	return files
}

func (s *settling) compile(p *plan) *compiler.Result {
	s.files = s.filesOf(p)
	return s.Compile(s.files, s.kept(p))
}

// held lists what is not in force as the cluster holds it, and what expired.
func (s *settling) held() []Held {
	var out []Held
	for _, path := range s.paths() {
		now, there := s.Current[path]
		force, ok := s.version(s.plan, path)
		if there == ok && bytes.Equal(now.Data, force.Data) && s.lapsed[path] == nil {
			continue
		}
		h := Held{Path: path, Object: now}
		if !there {
			h.Object = force
		}
		if ok {
			h.InForce = force.ResourceVersion
		}
		s.explain(&h, there)
		out = append(out, h)
	}
	return out
}

// explain says why an object is held back.
func (s *settling) explain(h *Held, there bool) {
	why := s.plan.held[h.Path]
	if why == nil {
		why = s.plan.dropped[h.Path]
	}
	if why == nil {
		why = s.lapsed[h.Path]
	}
	h.Itself = why != nil
	var parts []string
	if why == nil {
		why = s.plan.frozen[h.Object.Scope()][0]
	}
	switch {
	case !h.Itself && there:
		parts = append(parts, "held back with its namespace")
	case !h.Itself:
		parts = append(parts, "its deletion is held back")
	}
	if why.at == h.Path {
		h.Field = why.field
	} else {
		parts = append(parts, s.place(why))
	}
	if why.field != "" {
		parts = append(parts, why.field)
	}
	h.Code = string(why.Code)
	h.Message = strings.Join(append(parts, fmt.Sprintf("%s [%s]", why.Message, why.Code)), ": ")
}

// place names the object or file that has an error.
func (s *settling) place(c *cause) string {
	if c.at != "" {
		return s.meta(c.at).String()
	}
	return fmt.Sprintf("%s:%d", c.Span.File, c.Span.Start.Line)
}

// because makes the cause of what is held back for an error.
func (s *settling) because(path string, d *diag.Diagnostic) *cause {
	c := &cause{path: path, Diagnostic: *d}
	if at, ok := s.path(d.Span.File); ok {
		c.at = at
		span := d.Span
		span.File = at
		_, c.field = objects.Locate(s.files, span)
	}
	return c
}
