package compiler

import (
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// faults are the places of errors of earlier stages. What a later stage says about
// the same place is their consequence, and mending the first mistake may well end
// it. A finding is only ever left out beside an error, so nothing passes that would
// not have passed.
type faults map[source.Span]bool

// start is a span that compares equal for one place.
func start(s source.Span) source.Span { return source.Span{File: s.File, Start: s.Start} }

func (f faults) add(l diag.List) {
	for i := range l {
		if l[i].Severity >= diag.Error {
			f[start(l[i].Span)] = true
		}
	}
}

// elsewhere leaves out findings at places where an error stands.
func (f faults) elsewhere(found diag.List) diag.List {
	if len(f) == 0 {
		return found
	}
	return keep(found, func(d *diag.Diagnostic) bool { return !f[start(d.Span)] })
}

// region is the part of a document from one place up to another; without a second
// one, up to the end.
type region struct{ from, to source.Span }

func (r region) holds(at source.Span) bool {
	return at.File == r.from.File && source.Compare(r.from, at) <= 0 && (!r.to.IsValid() || source.Compare(at, r.to) < 0)
}

// unsound returns the parts of a document that hold errors: the rule, or whatever
// item of a list, else all of it. What is analyzed there is not what was meant.
func unsound(doc *load.Document, found diag.List) []region {
	var out []region
	for i := range found {
		if found[i].Severity < diag.Error {
			continue
		}
		if r, ok := around(doc.Root, found[i].Span); ok {
			out = append(out, r)
		}
	}
	return out
}

// around is the item of the outermost list that holds a place in n. A place at the
// list's own key is about what is missing, and makes no item unsound.
func around(n *load.Node, at source.Span) (region, bool) {
	whole := region{from: start(n.Span)}
	for n != nil && n.Kind == load.Map {
		k := slices.IndexFunc(n.Fields, func(f load.Field) bool { return source.Compare(f.KeySpan, at) > 0 })
		if k < 0 {
			k = len(n.Fields)
		} else {
			whole.to = n.Fields[k].KeySpan
		}
		if k == 0 {
			return whole, true
		}
		n = n.Fields[k-1].Value
	}
	if n == nil || n.Kind != load.List {
		return region{from: whole.from}, true
	}
	for i := len(n.Items) - 1; i >= 0; i-- {
		if source.Compare(n.Items[i].Span, at) > 0 {
			whole.to = n.Items[i].Span
			continue
		}
		return region{n.Items[i].Span, whole.to}, true
	}
	return region{}, false
}

// inSound leaves out findings about parts of documents that hold errors.
func inSound(found diag.List, documents []*load.Document, parts []*translation) diag.List {
	faulty := func(at source.Span) bool {
		i, exact := slices.BinarySearchFunc(documents, at, func(d *load.Document, at source.Span) int {
			return source.Compare(d.Span, at)
		})
		if !exact {
			i--
		}
		return i >= 0 && slices.ContainsFunc(parts[i].unsound, func(r region) bool { return r.holds(at) })
	}
	return keep(found, func(d *diag.Diagnostic) bool {
		return !faulty(d.Span) && !slices.ContainsFunc(d.Related, func(r diag.Related) bool { return faulty(r.Span) })
	})
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
