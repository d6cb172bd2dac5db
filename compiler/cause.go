package compiler

import (
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// faults are the errors of earlier stages, by place and by document. What a later
// stage says about the same place is their consequence, and mending the first
// mistake may well end it. A finding is only ever left out beside an error, so
// nothing passes that would not have passed.
type faults struct {
	places    map[source.Span]bool // start alone
	documents map[int]bool
	all       []*load.Document // sorted by place
}

// faultsOf gathers the errors that stand. Documents are sorted by place.
func faultsOf(l diag.List, documents []*load.Document) *faults {
	f := &faults{all: documents}
	for i := range l {
		if l[i].Severity < diag.Error {
			continue
		}
		if f.places == nil {
			f.places, f.documents = map[source.Span]bool{}, map[int]bool{}
		}
		f.places[start(l[i].Span)] = true
		if l[i].Code != load.CodeYAML { // what is not YAML is no document: the one before it is sound
			f.documents[f.document(l[i].Span)] = true
		}
	}
	return f
}

func start(s source.Span) source.Span { return source.Span{File: s.File, Start: s.Start} }

// document is the index of the document around a place, -1 where it is in none.
func (f *faults) document(at source.Span) int {
	i, found := slices.BinarySearchFunc(f.all, at, func(d *load.Document, at source.Span) int {
		return source.Compare(d.Span, at)
	})
	if !found {
		i--
	}
	if i < 0 || f.all[i].Span.File != at.File {
		return -1
	}
	return i
}

// elsewhere leaves out findings at places where an error stands.
func (f *faults) elsewhere(found diag.List) diag.List {
	if f.places == nil {
		return found
	}
	return keep(found, func(d *diag.Diagnostic) bool { return !f.places[start(d.Span)] })
}

// inSound leaves out findings about documents in which an error stands: what is
// analyzed there is not what was meant.
func (f *faults) inSound(found diag.List) diag.List {
	if f.documents == nil {
		return found
	}
	return keep(found, func(d *diag.Diagnostic) bool { return !f.documents[f.document(d.Span)] })
}

func keep(l diag.List, wanted func(*diag.Diagnostic) bool) diag.List {
	var out diag.List
	for i := range l {
		if wanted(&l[i]) {
			out = append(out, l[i])
		}
	}
	return out
}
