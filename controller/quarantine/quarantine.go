package quarantine

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Object is one version of an object of the cluster.
type Object struct {
	objects.Meta
	Data []byte // its file
}

// Input of Settle. Objects are known by the paths of their files.
type Input struct {
	Current  map[string]Object
	Accepted map[string]Object
	Files    *objects.Set // of Current
	// Before is what was held back the last time: its data is what was at fault.
	Before map[string][]byte
	// Refuse reports whether an error of an object refuses the release.
	Refuse func(path string) bool
	// Dir is the directory below which Compile shows the objects, "" for none.
	Dir string
	// Compile compiles with these objects in force; kept is compiler.Options.Kept. What
	// it returns has a release where no error stands.
	Compile func(files *objects.Set, kept func(file string) bool) *compiler.Result
}

// Outcome of Settle.
type Outcome struct {
	// Result is without errors; nil where the release is refused.
	Result *compiler.Result
	// InForce is what Result was made of.
	InForce map[string]Object
	Files   *objects.Set // of InForce
	// Held is what is held back, by path.
	Held []Held
	// First is the compilation of everything as it is.
	First *compiler.Result
	// Refused says why no quarantine helps.
	Refused error
}

// Held is an object that is not in force as the cluster holds it.
type Held struct {
	Path    string
	Object  Object // as the cluster holds it, or as it was accepted where it is deleted
	InForce string // resourceVersion in force, "" where it is left out
	Field   string // "spec.rules[0]", where Message is about it
	Code    string
	Message string // why, in the words of lint
	Itself  bool   // the reason is its own error
}

// maxPasses is how often single objects are held back; after it whole namespaces are.
const maxPasses = 16

var errBound = errors.New("too many errors follow one from another")

// Settle finds out what is in force. Each pass holds back more than the one before.
func Settle(in Input) Outcome {
	s := &settling{Input: in, plan: newPlan(), lapsed: map[string]*cause{}, batch: 1}
	var out Outcome
	for n := 0; ; n++ {
		s.result = s.compile(s.plan)
		if out.First == nil {
			out.First = s.result
		}
		found := s.result.Diagnostics
		if frozen := s.lapse(found); !found.HasErrors() {
			if frozen {
				continue
			}
			s.sweep()
			out.Result, out.InForce, out.Files, out.Held = s.result, s.inForce(s.plan), s.filesOf(s.plan), s.held()
			return out
		}
		if out.Refused = s.pass(found, n < maxPasses); out.Refused != nil {
			return out
		}
	}
}

// settling is one Settle on its way.
type settling struct {
	Input
	plan   *plan
	files  *objects.Set     // that were compiled last
	result *compiler.Result // of plan
	// trials are what may be held back in vain, or for another's error.
	trials []trial
	lapsed map[string]*cause // objects that expired and are as they were accepted
	batch  int               // how many namespaces are rolled back next
	stuck  error             // why the first namespace was rolled back
	rolled bool              // everything is as it was accepted
}

// pass holds back what causes the errors of a compilation, or says why it cannot. Without
// single, only whole namespaces are held back.
func (s *settling) pass(found diag.List, single bool) error {
	if single && !s.rolled {
		before := s.plan.size()
		if err := s.holdAll(found); err != nil || s.plan.size() > before {
			return err // what did not change may be well when this is out of the way
		}
		if done, err := s.giveWay(found); err != nil || done {
			return err
		}
	}
	if s.stuck == nil {
		s.stuck = s.reason(found)
	}
	if s.rollBack(found) {
		return nil
	}
	return s.stuck
}

// standing yields the errors that no waiver accepts.
func standing(found diag.List) iter.Seq[*diag.Diagnostic] {
	return func(yield func(*diag.Diagnostic) bool) {
		for i := range found {
			if d := &found[i]; !d.Waived && d.Severity >= diag.Error && !yield(d) {
				return
			}
		}
	}
}

// holdAll holds back the changed objects that errors are the fault of.
func (s *settling) holdAll(found diag.List) error {
	var added []trial
	for d := range standing(found) {
		for _, path := range s.blame(d) {
			if s.plan.holds(path) {
				continue
			}
			if err := s.hold(path, d); err != nil {
				return err
			}
			added = append(added, trial{path: path})
		}
	}
	if len(added) > 1 {
		s.trials = append(s.trials, added...)
	}
	return nil
}

// blame returns the changed objects that an error is the fault of.
func (s *settling) blame(d *diag.Diagnostic) []string {
	own, ofCluster := s.path(d.Span.File)
	facts := !ofCluster || s.kind(own).Restricts
	var out []string
	if ofCluster && s.changed(own) {
		out = append(out, own)
	}
	for _, r := range d.Related {
		if path, ok := s.path(r.Span.File); ok && s.changed(path) && (facts || s.kind(path).Policy) {
			out = append(out, path)
		}
	}
	return out
}

// changed reports whether an object is in force that is not as it was accepted.
func (s *settling) changed(path string) bool {
	now, ok := s.version(s.plan, path)
	was, accepted := s.Accepted[path]
	return ok && !(accepted && bytes.Equal(now.Data, was.Data))
}

// hold holds back a changed object.
func (s *settling) hold(path string, d *diag.Diagnostic) error {
	if s.Refuse(path) {
		return fmt.Errorf("the source of %s refuses errors", s.meta(path))
	}
	why, kind, o := s.because(path, d), s.kind(path), s.meta(path)
	_, accepted := s.Accepted[path]
	switch {
	case kind.Restricts && o.MeshWide() && !accepted:
		return fmt.Errorf("%s speaks for the whole mesh, has an error, and no earlier version of it was accepted", o)
	case kind.Restricts, fact(kind) && accepted:
		s.plan.freeze(o.Scope(), why)
	}
	s.plan.held[path] = why
	return nil
}

// giveWay finds something to hold back where no changed object is at fault.
func (s *settling) giveWay(found diag.List) (done bool, err error) {
	before := s.plan.clone()
	for d := range standing(found) {
		own, ofCluster := s.path(d.Span.File)
		switch why := s.because(own, d); {
		case !ofCluster:
		case s.Refuse(own):
			return false, fmt.Errorf("the source of %s refuses errors", s.meta(own))
		case s.kind(own).Restricts:
			done = s.freezeFor(d, why, before) || done
		default:
			s.plan.dropped[own] = why
			s.trials = append(s.trials, trial{path: own})
			done = true
		}
	}
	return done, nil
}

// freezeFor brings back namespaces for an object that restricts: its own, or, where
// that was tried before, those that the finding names.
func (s *settling) freezeFor(d *diag.Diagnostic, why *cause, before *plan) (tried bool) {
	if own := s.meta(why.path); !own.MeshWide() && s.freeze(own.Scope(), why, before) {
		return true
	}
	for _, r := range d.Related {
		if path, ok := s.path(r.Span.File); ok {
			tried = s.freeze(s.meta(path).Scope(), why, before) || tried
		}
	}
	return tried
}

// reason says why nothing single can be held back.
func (s *settling) reason(found diag.List) error {
	for d := range standing(found) {
		own, ofCluster := s.path(d.Span.File)
		if !ofCluster {
			return errors.New("no object of the cluster is the cause")
		}
		if s.kind(own).Restricts && !s.changed(own) {
			return fmt.Errorf("%s has an error though it is as it was accepted, and must not be left out", s.meta(own))
		}
	}
	return errBound
}

// path is the object of a file that was compiled.
func (s *settling) path(file string) (path string, ok bool) {
	path = file
	if s.Dir != "" {
		if path, ok = strings.CutPrefix(file, s.Dir+"/"); !ok {
			return "", false
		}
	}
	if _, ok = s.Current[path]; !ok {
		_, ok = s.Accepted[path]
	}
	return path, ok
}

func (s *settling) meta(path string) objects.Meta {
	if o, ok := s.Current[path]; ok {
		return o.Meta
	}
	return s.Accepted[path].Meta
}

// describing are policies that say what there is, as facts do.
var describing = []string{"Assumption", "ExternalService", "MeshWorkload"}

func fact(k objects.Kind) bool {
	return !k.Policy || dialect.Of(k.Group) == mesh.Native && slices.Contains(describing, k.Kind)
}

// kind is what is known of an object, be it as the cluster holds it or as it was accepted.
func (s *settling) kind(path string) objects.Kind {
	m := s.meta(path)
	kind, _ := objects.KindOf(m.Group, m.Kind) // of what else is there, nothing restricts
	return kind.Of(s.Current[path].Data).Of(s.Accepted[path].Data)
}
