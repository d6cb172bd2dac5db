package diag

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// TextOptions of WriteText.
type TextOptions struct {
	Color bool // ANSI colours; the caller decides, by terminal and NO_COLOR
	// Dir is put before file names, so that they can be opened from where the
	// command was called.
	Dir string
}

var severityColors = map[Severity]string{Info: "\x1b[36m", Warning: "\x1b[33m", Error: "\x1b[31m", Critical: "\x1b[1;31m"}

// WriteText renders findings for people, in the form that editors and problem
// matchers read: file:line:col: message [code], with related places, witness and
// fix indented below.
func WriteText(w io.Writer, l List, opt TextOptions) error {
	out := bufio.NewWriter(w)
	for i := range l {
		writeOne(out, &l[i], opt)
	}
	return out.Flush()
}

func writeOne(out *bufio.Writer, d *Diagnostic, opt TextOptions) {
	if d.Span.File != "" {
		fmt.Fprintf(out, "%s: ", d.Span.Below(opt.Dir))
	}
	out.WriteString(prefix(d, opt))
	fmt.Fprintf(out, "%s [%s]\n", oneLine(d.Message), d.Code)
	for _, r := range d.Related {
		fmt.Fprintf(out, "\t%s: %s\n", r.Span.Below(opt.Dir), oneLine(r.Message))
	}
	if d.Witness != nil {
		fmt.Fprintf(out, "\twitness: %s\n", oneLine(d.Witness.String()))
	}
	if d.Fix != nil {
		fmt.Fprintf(out, "\tfix: %s\n", oneLine(d.Fix.Message))
	}
}

// prefix names the severity. An error is the normal case and needs no word.
func prefix(d *Diagnostic, opt TextOptions) string {
	word := d.Severity.String() + ": "
	switch {
	case d.Waived:
		word = "waived " + word
	case d.Severity == Error && !opt.Color:
		return ""
	}
	if opt.Color {
		return severityColors[d.Severity] + word + "\x1b[0m"
	}
	return word
}

// oneLine keeps a message from forging further lines of output.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case r < 0x20 || r == 0x7f:
			return '\uFFFD'
		}
		return r
	}, s)
}
