// Package source names places in policy files: a position, a span, an edit.
//
// It holds values only: nothing here reads a file. Package source/open turns a
// directory, file, stream, tar or git revision into an fs.FS.
package source

import (
	"cmp"
	"path"
	"strconv"
	"strings"
)

// Pos is a place in a file. Line and Column count from 1; Column counts bytes,
// as compilers and editors' problem matchers do. The zero Pos is no position.
type Pos struct {
	Line, Column int
}

// IsValid reports whether p is a place.
func (p Pos) IsValid() bool { return p.Line > 0 }

// Span is a range in one file of the policy repository. File is the slash
// separated path relative to the repository's root. End is exclusive and may be
// zero where only the start is known.
type Span struct {
	File       string
	Start, End Pos
}

// At returns the span of one position.
func At(file string, line, column int) Span {
	return Span{File: file, Start: Pos{line, column}}
}

// IsValid reports whether s names a place.
func (s Span) IsValid() bool { return s.File != "" && s.Start.IsValid() }

// String renders "file:line:col", or the file alone where there is no position.
func (s Span) String() string {
	if !s.Start.IsValid() {
		return s.File
	}
	return s.File + ":" + strconv.Itoa(s.Start.Line) + ":" + strconv.Itoa(s.Start.Column)
}

// Below is the span with its file below dir: a name that can be opened from
// where the command was called. Without dir it is the span itself.
func (s Span) Below(dir string) Span {
	if dir != "" && s.File != "" {
		s.File = path.Join(dir, s.File)
	}
	return s
}

// Compare orders spans by file, line and column.
func Compare(a, b Span) int {
	return cmp.Or(
		cmp.Compare(a.File, b.File),
		cmp.Compare(a.Start.Line, b.Start.Line),
		cmp.Compare(a.Start.Column, b.Start.Column),
	)
}

// Edit replaces the text of Span by New. An empty span inserts at its start.
type Edit struct {
	Span Span
	New  string
}

// IsPolicyFile reports whether the loader reads a file of this slash-separated
// name: YAML, JSON and CUE files, and kustomizations, none of them hidden.
func IsPolicyFile(name string) bool {
	base := path.Base(name)
	if strings.HasPrefix(base, ".") {
		return false
	}
	switch path.Ext(base) {
	case ".yaml", ".yml", ".json", ".cue":
		return true
	}
	return base == "Kustomization"
}
