package admission

import (
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Finding is a diagnostic about an object of the cluster.
type Finding struct {
	Object   string // "Kind namespace/name"
	Field    string // "spec.http[0].route", empty where it is about the whole
	Code     string
	Severity string
	Message  string   // as lint says it
	Related  []string // other places that explain it: "Kind namespace/name: field: text"
	Fix      string
	Witness  string
	Curable  bool // a later object can cure it

	unmasked bool // in another object that was in error before: not this change's fault
}

// refuses reports whether the finding alone keeps an object out.
func (f *Finding) refuses() bool {
	return !f.Curable && !f.unmasked && (f.Severity == diag.Error.String() || f.Severity == diag.Critical.String())
}

// introduced returns what a change brings in: findings that did not stand before,
// and all of the changed object itself. One error often hides others: what comes to
// light in another object that was in error before is marked as unmasked, unless it is
// also about the changed one: else any object in error would let others contradict it.
func introduced(before, after *compiler.Result, set *objects.Set, path string) []Finding {
	gone, come := difference(before.Diagnostics, after.Diagnostics, path)
	stood := map[string]int{}
	for _, d := range gone {
		stood[d.Fingerprint()]++
	}
	var out []Finding
	for _, d := range come {
		print := d.Fingerprint()
		stood[print]--
		if d.Span.File == path || stood[print] < 0 {
			for _, f := range findings(set, diag.List{*d}) {
				f.unmasked = !about(d, path) && broken(before.Diagnostics, d.Span.File)
				out = append(out, f)
			}
		}
	}
	return out
}

// difference walks two sorted lists and returns what is in one alone, and all that is
// said about a file: most of what stood still stands as it was.
func difference(before, after diag.List, path string) (gone, come []*diag.Diagnostic) {
	for len(before) > 0 || len(after) > 0 {
		order := 0
		switch {
		case len(before) == 0:
			order = 1
		case len(after) == 0:
			order = -1
		default:
			order = diag.Compare(&before[0], &after[0])
		}
		about := order == 0 && after[0].Span.File == path
		if order < 0 || about {
			gone = append(gone, &before[0])
		}
		if order > 0 || about {
			come = append(come, &after[0])
		}
		if order <= 0 {
			before = before[1:]
		}
		if order >= 0 {
			after = after[1:]
		}
	}
	return gone, come
}

// about reports whether a finding is of a file, or explained by it.
func about(d *diag.Diagnostic, file string) bool {
	return d.Span.File == file || slices.ContainsFunc(d.Related, func(r diag.Related) bool { return r.Span.File == file })
}

// broken reports whether an error stands in a file.
func broken(list diag.List, file string) bool {
	return slices.ContainsFunc(list, func(d diag.Diagnostic) bool {
		return d.Span.File == file && d.Severity >= diag.Error && !d.Waived
	})
}

// findings shows diagnostics by object and field; those that were waived are left out.
func findings(set *objects.Set, list diag.List) []Finding {
	var out []Finding
	for i := range list {
		d := &list[i]
		if d.Waived {
			continue
		}
		f := Finding{Code: string(d.Code), Severity: d.Severity.String(), Message: d.Message, Curable: compiler.Curable(d.Code)}
		f.Object, f.Field = objects.Locate(set, d.Span)
		if f.Object == "" {
			f.Object = d.Object
		}
		for _, rel := range d.Related {
			object, field := objects.Locate(set, rel.Span)
			f.Related = append(f.Related, place(object, field)+rel.Message)
		}
		if d.Fix != nil {
			f.Fix = d.Fix.Message
		}
		if d.Witness != nil {
			f.Witness = d.Witness.String()
		}
		out = append(out, f)
	}
	return out
}
