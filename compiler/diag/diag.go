// Package diag is the compiler's diagnostics: what was found, where, why and
// how to mend it, and how they are rendered.
//
// A diagnostic is a value. Stages return a List; nothing here prints on its own
// or decides an exit status.
package diag

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Code is the one spelling of a finding: analyzer, documentation page, fixture
// directory and suppression share it ("routeshadow").
type Code string

// Severity of a diagnostic.
type Severity int

// Severities in rising order. Critical can never be waived.
const (
	Info Severity = iota
	Warning
	Error
	Critical
)

var severityNames = []string{"info", "warning", "error", "critical"}

func (s Severity) String() string {
	if s < 0 || int(s) >= len(severityNames) {
		return fmt.Sprintf("severity(%d)", int(s))
	}
	return severityNames[s]
}

// ParseSeverity reads a severity's name.
func ParseSeverity(name string) (Severity, error) {
	if i := slices.Index(severityNames, name); i >= 0 {
		return Severity(i), nil
	}
	return 0, fmt.Errorf("severity %q: want one of %s", name, strings.Join(severityNames, ", "))
}

// MarshalText writes the name, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name, for JSON.
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSeverity(string(text))
	return err
}

// Related points at a second place that explains the finding.
type Related struct {
	Span    source.Span
	Message string
}

// Fix is what mends the finding. Edits are present only where they are safe.
type Fix struct {
	Message string
	Edits   []source.Edit
}

// Witness is a request that demonstrates a finding about traffic or access.
// Tests send it through a real Envoy.
type Witness struct {
	From    string            `json:"from,omitempty"`    // "namespace/workload", or "none" for a caller without identity
	Gateway string            `json:"gateway,omitempty"` // "namespace/name", of a request from outside the mesh
	To      string            `json:"to,omitempty"`      // "host:port"
	Method  string            `json:"method,omitempty"`
	Path    string            `json:"path,omitempty"` // with query, as sent
	Headers map[string]string `json:"headers,omitempty"`
	// Observe says what the request shows, for people: "goes to v1, never to rule \"canary\"".
	Observe string `json:"observe,omitempty"`
	// Expect says the same for machines.
	Expect *WitnessExpect `json:"expect,omitempty"`
}

// WitnessExpect is what a witness shows; zero fields claim nothing.
type WitnessExpect struct {
	Route  string `json:"route,omitempty"`  // id of the rule that takes the request
	Access string `json:"access,omitempty"` // "allow" or "deny", and by which rule's id:
	Rule   string `json:"rule,omitempty"`
	Status uint32 `json:"status,omitempty"` // that the caller sees
	// Tries is how often the upstream receives the request when it always answers
	// UpstreamStatus after UpstreamDelay (a duration, "300ms").
	Tries          uint32 `json:"tries,omitempty"`
	UpstreamStatus uint32 `json:"upstreamStatus,omitempty"`
	UpstreamDelay  string `json:"upstreamDelay,omitempty"`
}

func (w Witness) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s ", cmp.Or(w.Method, "GET"), w.To, w.Path)
	if w.Gateway != "" {
		b.WriteString("at gateway " + w.Gateway)
	} else {
		b.WriteString("from " + cmp.Or(w.From, "anyone"))
	}
	for _, k := range slices.Sorted(mapKeys(w.Headers)) {
		fmt.Fprintf(&b, " %s: %q", k, w.Headers[k])
	}
	if w.Observe != "" {
		b.WriteString(" " + w.Observe)
	}
	return b.String()
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Diagnostic is one finding.
type Diagnostic struct {
	Code     Code
	Severity Severity
	Message  string
	Span     source.Span
	Object   string // "Kind namespace/name", where the finding is about one document
	Related  []Related
	Witness  *Witness
	Fix      *Fix
	Waived   bool
	// Section is the part of the object, where it has parts with names of their own: the
	// listener of a Gateway.
	Section string
	// Reason is that of the condition which the finding makes false in the status of
	// an object of the Gateway API; "" where the code says it.
	Reason string
}

// SetFix says what mends the finding.
func (d *Diagnostic) SetFix(message string) { d.Fix = &Fix{Message: message} }

// Fingerprint identifies a finding across edits that move it: it covers code,
// object and message, not the position. The file counts only where no object is
// named: an object in a cluster has no file, and a waiver holds there too.
func (d *Diagnostic) Fingerprint() string {
	about := d.Object
	if about == "" {
		about = d.Span.File
	}
	h := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", d.Code, about, d.Message))
	return hex.EncodeToString(h[:8])
}

// Namespace is that of the object; "" where there is no object, or it has none.
func (d *Diagnostic) Namespace() string {
	_, name, _ := strings.Cut(d.Object, " ")
	namespace, _, ok := strings.Cut(name, "/")
	if !ok {
		return ""
	}
	return namespace
}

// List is the findings of a run.
type List []Diagnostic

// Add appends a finding with a formatted message and returns it, so that the
// caller can set Related, Fix or Witness.
func (l *List) Add(code Code, sev Severity, at source.Span, format string, args ...any) *Diagnostic {
	*l = append(*l, Diagnostic{Code: code, Severity: sev, Span: at, Message: fmt.Sprintf(format, args...)})
	return &(*l)[len(*l)-1]
}

// Errorf appends an error.
func (l *List) Errorf(code Code, at source.Span, format string, args ...any) *Diagnostic {
	return l.Add(code, Error, at, format, args...)
}

// Warnf appends a warning.
func (l *List) Warnf(code Code, at source.Span, format string, args ...any) *Diagnostic {
	return l.Add(code, Warning, at, format, args...)
}

// Sort orders by position, then code, message and object, and drops exact
// repetitions, so that output does not depend on the order of the stages.
func (l *List) Sort() {
	slices.SortStableFunc(*l, func(a, b Diagnostic) int { return Compare(&a, &b) })
	*l = slices.CompactFunc(*l, func(a, b Diagnostic) bool { return Compare(&a, &b) == 0 })
}

// Compare orders as Sort does; equal are those that say the same of the same place.
func Compare(a, b *Diagnostic) int {
	return cmp.Or(
		source.Compare(a.Span, b.Span),
		cmp.Compare(a.Code, b.Code),
		cmp.Compare(b.Severity, a.Severity),
		cmp.Compare(a.Message, b.Message),
		cmp.Compare(a.Object, b.Object),
	)
}

// Max returns the highest severity of findings that are not waived, and whether
// there is one.
func (l List) Max() (Severity, bool) {
	highest, found := Info, false
	for i := range l {
		if !l[i].Waived {
			highest, found = max(highest, l[i].Severity), true
		}
	}
	return highest, found
}

// HasErrors reports whether a finding of severity error or above stands.
func (l List) HasErrors() bool {
	s, ok := l.Max()
	return ok && s >= Error
}

// Count returns how many findings that are not waived have exactly severity s.
func (l List) Count(s Severity) int {
	n := 0
	for i := range l {
		if !l[i].Waived && l[i].Severity == s {
			n++
		}
	}
	return n
}
