package diag

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
)

// WriteGitHub renders findings as GitHub Actions workflow commands, which show
// as annotations in a pull request. The gravest come first, because a step shows
// ten errors, ten warnings and ten notices; the others stay in the log.
// https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
func WriteGitHub(w io.Writer, l List, dir string) error {
	out := bufio.NewWriter(w)
	for _, d := range bySeverity(l) {
		if !d.Waived {
			writeCommand(out, d, dir)
		}
	}
	return out.Flush()
}

var commands = map[Severity]string{Info: "notice", Warning: "warning", Error: "error", Critical: "error"}

func writeCommand(out *bufio.Writer, d *Diagnostic, dir string) {
	at := d.Span.Below(dir)
	fmt.Fprintf(out, "::%s ", commands[d.Severity])
	if at.File != "" {
		fmt.Fprintf(out, "file=%s,line=%d,", property(at.File), cmp.Or(at.Start.Line, 1))
	}
	if at.Start.IsValid() {
		fmt.Fprintf(out, "col=%d,", at.Start.Column)
	}
	fmt.Fprintf(out, "title=%s::%s\n", property(string(d.Code)), data(annotation(d, dir)))
}

// annotation is the finding without its place, related ones included: an
// annotation has no other room for them.
func annotation(d *Diagnostic, dir string) string {
	var b strings.Builder
	b.WriteString(oneLine(d.Message))
	for _, r := range d.Related {
		fmt.Fprintf(&b, "\n%s: %s", r.Span.Below(dir), oneLine(r.Message))
	}
	if d.Witness != nil {
		fmt.Fprintf(&b, "\nwitness: %s", oneLine(d.Witness.String()))
	}
	if d.Fix != nil {
		fmt.Fprintf(&b, "\nfix: %s", oneLine(d.Fix.Message))
	}
	return b.String()
}

var (
	dataEscapes     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func data(s string) string     { return dataEscapes.Replace(s) }
func property(s string) string { return propertyEscapes.Replace(s) }
