package compiler

import (
	"reflect"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// translation is what a document means; kept with the document, whose pointer
// load keeps for unchanged files. The tree, which is most of the memory and
// nothing but pointers to follow, is dropped when it is translated.
type translation struct {
	fragment *mesh.Fragment
	diags    diag.List
	unsound  []region // where diags has errors
}

// translations are those of all documents, in their order.
type translations struct {
	translated []*translation
	fragments  []*mesh.Fragment // of translated
	loud       []int            // places of those with diagnostics
}

// next translates documents. Those at the beginning and at the end that are the
// same as before are taken over as a whole, and so are others one by one.
func (t *translations) next(was, now *load.Result) translations {
	var old []*load.Document
	if was != nil {
		old = was.Documents
	}
	docs := now.Documents
	head, tail := 0, 0
	for head < min(len(old), len(docs)) && old[head] == docs[head] {
		head++
	}
	for tail < min(len(old), len(docs))-head && old[len(old)-1-tail] == docs[len(docs)-1-tail] {
		tail++
	}
	out := translations{make([]*translation, len(docs)), make([]*mesh.Fragment, len(docs)), nil}
	copy(out.translated, t.translated[:head])
	copy(out.fragments, t.fragments[:head])
	copy(out.translated[len(docs)-tail:], t.translated[len(old)-tail:])
	copy(out.fragments[len(docs)-tail:], t.fragments[len(old)-tail:])
	known := t.among(old, head, len(old)-tail)
	for i := head; i < len(docs)-tail; i++ {
		out.translated[i] = known(docs[i])
		out.fragments[i] = out.translated[i].fragment
	}
	out.loud = t.louder(&out, head, tail)
	return out
}

// louder lists the places of translations with diagnostics.
func (t *translations) louder(out *translations, head, tail int) (loud []int) {
	was, now := len(t.translated), len(out.translated)
	for _, i := range t.loud {
		if i < head {
			loud = append(loud, i)
		}
	}
	for i := head; i < now-tail; i++ {
		if len(out.translated[i].diags) > 0 {
			loud = append(loud, i)
		}
	}
	for _, i := range t.loud {
		if i >= was-tail {
			loud = append(loud, i+now-was)
		}
	}
	return loud
}

// among translates documents, asked for in their order, which both runs share, beside
// some of those of the run before. One that is still there means what it meant. Of
// one that was written again the fragment stays where it says the same of the same
// places, so that nothing follows from what no policy reads.
func (t *translations) among(old []*load.Document, next, end int) func(*load.Document) *translation {
	return func(d *load.Document) *translation {
		before := -1
		for ; next < end; next++ {
			if old[next] == d {
				next++
				return t.translated[next-1]
			}
			order := source.Compare(old[next].Span, d.Span)
			if order > 0 {
				break
			}
			if order == 0 {
				before = next
			}
		}
		out := translated(d)
		if before >= 0 && reflect.DeepEqual(out.fragment, t.fragments[before]) {
			out.fragment = t.fragments[before]
		}
		return out
	}
}

func translated(d *load.Document) *translation {
	t := &translation{}
	t.fragment, t.diags = dialect.Translate(d)
	t.unsound = unsound(d, t.diags)
	if !d.FromCUE { // CUE packages are compared with each other by their trees
		d.Root = nil
	}
	return t
}

// SaysAs reports whether all documents say the same of the same places as in an
// earlier result that this one took over from.
func (r *Result) SaysAs(earlier *Result) bool { return slices.Equal(r.fragments, earlier.fragments) }
