package diag

import (
	"bytes"
	"io/fs"
	"unicode/utf8"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// lineReader turns columns in bytes into columns in characters. Findings are
// sorted by file, so that it keeps one file at a time.
type lineReader struct {
	files fs.FS // nil: columns stay as they are
	name  string
	lines [][]byte
}

// column counts from 1. A file that cannot be read, any more or at all, leaves
// the column in bytes: the two are the same but for lines beyond ASCII.
func (r *lineReader) column(file string, at source.Pos) int {
	if r.files == nil {
		return at.Column
	}
	if r.name != file {
		data, err := fs.ReadFile(r.files, file)
		if err != nil {
			data = nil
		}
		r.name, r.lines = file, bytes.Split(data, []byte("\n"))
	}
	if at.Line > len(r.lines) {
		return at.Column
	}
	line := r.lines[at.Line-1]
	before := line[:max(0, min(at.Column-1, len(line)))]
	return at.Column - len(before) + utf8.RuneCount(before)
}
