package admission

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of what is sent back: clients print it as one text, and the API server
// cuts warnings that are long.
const (
	maxFindings = 20
	maxMessage  = 8 << 10
	maxWarning  = 256
)

// judge refuses where a finding does, and warns of the others.
func judge(found []Finding) Verdict {
	var refusing []Finding
	v := Verdict{Allowed: true, Findings: found}
	for _, f := range found {
		if f.refuses() {
			refusing = append(refusing, f)
		} else {
			v.warn(f)
		}
	}
	if len(refusing) > 0 {
		v.Allowed, v.Message = false, message(refusing)
	}
	return v
}

// warn admits whatever was found.
func warn(found []Finding) Verdict {
	v := Verdict{Allowed: true, Findings: found}
	for _, f := range found {
		v.warn(f)
	}
	return v
}

func (v *Verdict) warn(f Finding) {
	if len(v.Warnings) < maxFindings {
		v.Warnings = append(v.Warnings, cut(f.line(), maxWarning))
	}
}

// message says first how much there is, then every finding, then where to read on.
func message(found []Finding) string {
	codes := found[0].Code
	last := "\nmesh-compile explain " + codes
	var b strings.Builder
	fmt.Fprintf(&b, "mesh-compile refuses this change: %d finding(s)", len(found))
	for i := range found {
		text := found[i].text()
		if i == maxFindings || b.Len()+len(text)+len(last)+40 > maxMessage && i > 0 {
			fmt.Fprintf(&b, "\nand %d more", len(found)-i)
			break
		}
		b.WriteString(cut(text, maxMessage-b.Len()-len(last)-40))
	}
	return b.String() + last
}

// line is the finding on one line.
func (f *Finding) line() string {
	return fmt.Sprintf("%s%s [%s]", place(f.Object, f.Field), oneLine(f.Message), f.Code)
}

// text is the finding with all that explains it.
func (f *Finding) text() string {
	out := "\n" + f.line()
	for _, rel := range f.Related {
		out += "\n  " + oneLine(rel)
	}
	if f.Witness != "" {
		out += "\n  witness: " + oneLine(f.Witness)
	}
	if f.Fix != "" {
		out += "\n  fix: " + oneLine(f.Fix)
	}
	return out
}

func place(object, field string) string {
	switch {
	case object == "":
		return ""
	case field == "":
		return object + ": "
	}
	return object + ": " + field + ": "
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// cut shortens to n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n = max(n-3, 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
