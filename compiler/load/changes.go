package load

import (
	"cmp"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Versioned is an fs.FS that never changes and knows how it differs from another.
// With one, a run over Options.Previous reads what changed and nothing else.
type Versioned interface {
	fs.FS
	// Changes returns the names of all files that another has and this has not, that
	// only this has, or whose content is not the same; ok is false where it cannot tell.
	Changes(since fs.FS) (names []string, ok bool)
}

// kept is what a run over changes needs of the one before.
type kept struct {
	fsys    Versioned
	options [32]byte
	size    int64 // of all files
	diags   diag.List
}

// keep remembers a repository of files that depend on nothing but themselves.
func (l *loader) keep() {
	fsys, ok := l.fsys.(Versioned)
	if !ok || slices.ContainsFunc(l.out.Files, func(f FileInfo) bool { return !alone(f.Name) }) {
		return
	}
	k := &kept{fsys: fsys, options: l.options, diags: l.diags}
	for _, f := range l.out.Files {
		k.size += f.Size
	}
	l.out.kept = k
}

// reported counts the diagnostics about single files: others are about the whole.
func reported(units []*unit) (n int) {
	for _, u := range units {
		n += len(u.diags)
	}
	return n
}

// alone reports whether a file is read whatever other files say, and says nothing
// about them.
func alone(name string) bool {
	return source.IsPolicyFile(name) && !isKustomization(name) && path.Ext(name) != ".cue" && path.Base(name) != "Chart.yaml" &&
		!strings.HasPrefix(name, ".") && !strings.Contains(name, "/.")
}

// readChanges makes the result of the previous one and the files that changed
// since. It returns nil where it takes a run over all files.
func (l *loader) readChanges() (*Result, diag.List) {
	fsys, versioned := l.fsys.(Versioned)
	prev := l.opt.Previous
	if !versioned || prev == nil || prev.kept == nil || prev.kept.options != l.options {
		return nil, nil
	}
	names, ok := fsys.Changes(prev.kept.fsys)
	if !ok || slices.ContainsFunc(names, func(name string) bool { return !alone(name) }) {
		return nil, nil
	}
	read := &loader{fsys: l.fsys, opt: l.opt, limits: l.limits, read: l.read, options: l.options, units: map[string]*unit{}}
	if !read.again(names) {
		return nil, nil
	}
	out, diags := *prev, prev.kept.diags
	out.kept = &kept{fsys: fsys, options: l.options, size: prev.kept.size}
	for _, name := range names {
		diags = out.replace(name, read, diags)
	}
	out.kept.diags = diags
	if out.kept.size > l.limits.TotalBytes || len(out.Files) > l.limits.Files {
		return nil, nil
	}
	return &out, diags
}

// again reads those of the named files that are still there. What is wrong with one
// is for a run over all files to say.
func (l *loader) again(names []string) bool {
	there := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := fs.Stat(l.fsys, name)
		return errors.Is(err, fs.ErrNotExist)
	})
	files := l.readAll(there)
	l.yamlFiles(files)
	return len(l.diags) == 0
}

// replace puts what was read of a file in the place of what was known of it.
func (r *Result) replace(name string, read *loader, known diag.List) diag.List {
	u := &unit{}
	var units []*unit
	if now := read.units[name]; now != nil {
		u, units = now, []*unit{now.named(name)}
	}
	var info []FileInfo
	if i, ok := slices.BinarySearchFunc(read.out.Files, name, compareFile); ok {
		info = read.out.Files[i : i+1]
		r.kept.size += info[0].Size
	}
	if i, ok := slices.BinarySearchFunc(r.Files, name, compareFile); ok {
		r.kept.size -= r.Files[i].Size
	}
	docs := slices.SortedStableFunc(slices.Values(u.docs), compareDocuments)
	diags := slices.Clone(u.diags)
	diags.Sort()
	r.units = splice(r.units, units, name, func(u *unit) string { return u.name })
	r.Files = splice(r.Files, info, name, func(f FileInfo) string { return f.Name })
	r.Documents = splice(r.Documents, docs, name, func(d *Document) string { return d.Span.File })
	r.Foreign = splice(r.Foreign, u.foreign, name, func(f Foreign) string { return f.Span.File })
	return splice(known, diags, name, func(d diag.Diagnostic) string { return d.Span.File })
}

func compareFile(f FileInfo, name string) int { return cmp.Compare(f.Name, name) }

// splice is a list, ordered by file, in which the part of one file is another. The
// list itself stays as it is.
func splice[T any](list, part []T, name string, file func(T) string) []T {
	from, _ := slices.BinarySearchFunc(list, name, func(t T, name string) int { return cmp.Compare(file(t), name) })
	to := from
	for to < len(list) && file(list[to]) == name {
		to++
	}
	if to == from && len(part) == 0 {
		return list
	}
	return slices.Concat(list[:from], part, list[to:])
}
