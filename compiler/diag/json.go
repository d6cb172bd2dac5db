package diag

import (
	"encoding/json"
	"io"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Report is the JSON form of a run's findings, schemas/cli/lint.schema.json.
type Report struct {
	Version     int              `json:"version"` // 1
	Diagnostics []JSONDiagnostic `json:"diagnostics"`
	Status
	Summary Summary `json:"summary"`
}

// Status is what becomes of the objects of the Gateway API.
type Status struct {
	Routes   []RouteStatus   `json:"routes,omitempty"`
	Gateways []GatewayStatus `json:"gateways,omitempty"`
}

// RouteStatus is what becomes of a route of the Gateway API at one of its parents.
type RouteStatus struct {
	Object     string      `json:"object"` // "HTTPRoute shop/catalog"
	Parent     string      `json:"parent"` // "Service shop/catalog", "Gateway shop/edge" or "ListenerSet shop/more", with "/listener" and ":8080" where it is about one
	Conditions []Condition `json:"conditions"`
}

// GatewayStatus is what becomes of a Gateway, or of a ListenerSet.
type GatewayStatus struct {
	Object     string           `json:"object"` // "Gateway shop/edge", "ListenerSet shop/more"
	Conditions []Condition      `json:"conditions"`
	Listeners  []ListenerStatus `json:"listeners"`
	// AttachedListenerSets are those that a Gateway takes and that are accepted.
	AttachedListenerSets int `json:"attachedListenerSets,omitempty"`
}

// ListenerStatus is one of GatewayStatus.listeners.
type ListenerStatus struct {
	Name           string      `json:"name"`
	SupportedKinds []RouteKind `json:"supportedKinds"`
	AttachedRoutes int         `json:"attachedRoutes"`
	Conditions     []Condition `json:"conditions"`
}

// RouteKind is a kind of routes.
type RouteKind struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
}

// Condition is one of metav1's, in the words of the Gateway API.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"` // "True", "False", "Unknown"
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Summary counts. Errors includes critical findings.
type Summary struct {
	Documents int `json:"documents"`
	Errors    int `json:"errors"`
	Warnings  int `json:"warnings"`
	Waived    int `json:"waived"`
}

// JSONDiagnostic is one finding in a Report.
type JSONDiagnostic struct {
	Code        Code          `json:"code"`
	Severity    Severity      `json:"severity"`
	Message     string        `json:"message"`
	File        string        `json:"file"`
	Line        int           `json:"line"`
	Column      int           `json:"column"`
	Object      string        `json:"object,omitempty"`
	Related     []JSONRelated `json:"related,omitempty"`
	Witness     *Witness      `json:"witness,omitempty"`
	Fix         *JSONFix      `json:"fix,omitempty"`
	Fingerprint string        `json:"fingerprint"`
	Waived      bool          `json:"waived,omitempty"`
}

// JSONRelated is a second place.
type JSONRelated struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

// JSONFix is what mends a finding.
type JSONFix struct {
	Message string     `json:"message"`
	Edits   []JSONEdit `json:"edits,omitempty"`
}

// JSONEdit replaces the text between two positions by New.
type JSONEdit struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"endLine"`
	EndColumn int    `json:"endColumn"`
	New       string `json:"new"`
}

// Summarize counts the findings of a run over a number of documents.
func (l List) Summarize(documents int) Summary {
	s := Summary{
		Documents: documents,
		Errors:    l.Count(Error) + l.Count(Critical),
		Warnings:  l.Count(Warning),
	}
	for i := range l {
		if l[i].Waived {
			s.Waived++
		}
	}
	return s
}

// NewReport builds the JSON form; file names are placed below dir.
func NewReport(l List, status Status, documents int, dir string) Report {
	r := Report{Version: 1, Diagnostics: make([]JSONDiagnostic, len(l)), Status: status, Summary: l.Summarize(documents)}
	for i := range l {
		r.Diagnostics[i] = toJSON(&l[i], dir)
	}
	return r
}

// WriteJSON renders findings for programs.
func WriteJSON(w io.Writer, l List, status Status, documents int, dir string) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(NewReport(l, status, documents, dir))
}

func toJSON(d *Diagnostic, dir string) JSONDiagnostic {
	at := d.Span.Below(dir)
	j := JSONDiagnostic{
		Code: d.Code, Severity: d.Severity, Message: d.Message,
		File: at.File, Line: at.Start.Line, Column: at.Start.Column,
		Object: d.Object, Witness: d.Witness, Fingerprint: d.Fingerprint(), Waived: d.Waived,
	}
	for _, r := range d.Related {
		j.Related = append(j.Related, JSONRelated{r.Span.Below(dir).File, r.Span.Start.Line, r.Span.Start.Column, r.Message})
	}
	if d.Fix != nil {
		j.Fix = &JSONFix{Message: d.Fix.Message, Edits: jsonEdits(d.Fix.Edits, dir)}
	}
	return j
}

func jsonEdits(edits []source.Edit, dir string) []JSONEdit {
	out := make([]JSONEdit, len(edits))
	for i, e := range edits {
		end := e.Span.End
		if !end.IsValid() {
			end = e.Span.Start
		}
		out[i] = JSONEdit{e.Span.Below(dir).File, e.Span.Start.Line, e.Span.Start.Column, end.Line, end.Column, e.New}
	}
	return out
}
