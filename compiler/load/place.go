package load

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// lineIndex finds the bytes of a line as the YAML parser counts lines.
type lineIndex struct {
	starts []int
	ascii  bool
}

func newLineIndex(text []byte) *lineIndex {
	x := &lineIndex{starts: make([]int, 1, 16+len(text)/24), ascii: true}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n', c == '\r' && (i+1 == len(text) || text[i+1] != '\n'):
			x.starts = append(x.starts, i+1)
		case c >= utf8.RuneSelf:
			x.ascii = false
			// NEL, LS and PS break lines in YAML 1.1, which the parser follows.
			if r, size := utf8.DecodeRune(text[i:]); r == '\u0085' || r == '\u2028' || r == '\u2029' {
				x.starts = append(x.starts, i+size)
			}
		}
	}
	return x
}

// offset returns the byte of a line and column (in characters, from 1).
func (x *lineIndex) offset(text []byte, line, column int) int {
	if line < 1 || line > len(x.starts) {
		return len(text)
	}
	at := x.starts[line-1]
	if x.ascii {
		return min(at+column-1, len(text))
	}
	for ; column > 1 && at < len(text); column-- {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at
}

// place is where a YAML node starts. The parser counts characters in a line,
// spans count bytes.
func (c *converter) place(n *yaml.Node) source.Span {
	if c.index == nil {
		c.index = newLineIndex(c.text)
	}
	column := n.Column
	if !c.index.ascii && n.Line >= 1 && n.Line <= len(c.index.starts) {
		column = c.index.offset(c.text, n.Line, n.Column) - c.index.starts[n.Line-1] + 1
	}
	return source.Span{File: c.file.path, Start: source.Pos{Line: c.line + n.Line, Column: column}}
}

// end is where a scalar of one line ends, no position for others.
func (c *converter) end(n *yaml.Node, start source.Span) source.Pos {
	at := c.index.offset(c.text, n.Line, n.Column)
	rest := c.text[at:]
	length := 0
	switch {
	case n.Style == 0:
		if len(rest) >= len(n.Value) && string(rest[:len(n.Value)]) == n.Value {
			length = len(n.Value)
		}
	case n.Style == yaml.DoubleQuotedStyle || n.Style == yaml.SingleQuotedStyle:
		length = quoted(rest)
	}
	if length == 0 {
		return source.Pos{}
	}
	return source.Pos{Line: start.Start.Line, Column: start.Start.Column + length}
}

// quoted is the length of the quoted scalar at the start of text, 0 where it
// goes on in the next line.
func quoted(text []byte) int {
	if len(text) == 0 || text[0] != '"' && text[0] != '\'' {
		return 0
	}
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\n':
			return 0
		case text[0] == '"' && text[i] == '\\':
			i++
		case text[0] == '\'' && text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return 0
}

// groupOf is the API group of an apiVersion, "" for the core group.
func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return group
}
