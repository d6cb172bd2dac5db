package diag

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// SARIFOptions of WriteSARIF.
type SARIFOptions struct {
	// Dir is put before file names: with it they count from the top of the
	// source repository, which code scanning asks for.
	Dir string
	// Files, where set, are the files that findings are in, to count columns in
	// characters, as SARIF does, and not in bytes.
	Files fs.FS
	// Pages describe the codes.
	Pages []Page
	// Version of the tool.
	Version string
}

// Limits of GitHub code scanning: a run with more results is refused whole, and
// related locations beyond the limit are dropped.
// https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
const (
	sarifResults = 25_000
	sarifRelated = 100
)

// sarifLog is the part of SARIF 2.1.0 that we write.
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	ColumnKind  string            `json:"columnKind"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string      `json:"id"`
	ShortDescription sarifText   `json:"shortDescription"`
	FullDescription  sarifText   `json:"fullDescription"`
	Help             *sarifText  `json:"help,omitempty"`
	Default          sarifConfig `json:"defaultConfiguration"`
}

type sarifConfig struct {
	Level string `json:"level"`
}

type sarifText struct {
	Text     string `json:"text"`
	Markdown string `json:"markdown,omitempty"`
}

type sarifInvocation struct {
	Successful    bool        `json:"executionSuccessful"`
	Notifications []sarifNote `json:"toolExecutionNotifications,omitempty"`
}

type sarifNote struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifResult struct {
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Related      []sarifLocation    `json:"relatedLocations,omitempty"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
}

type sarifSuppression struct {
	Kind string `json:"kind"`
}

type sarifLocation struct {
	ID       *int          `json:"id,omitempty"`
	Physical sarifPhysical `json:"physicalLocation"`
	Message  *sarifText    `json:"message,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn,omitempty"`
	EndLine     int `json:"endLine,omitempty"`
	EndColumn   int `json:"endColumn,omitempty"`
}

// WriteSARIF renders findings as SARIF 2.1.0, within what GitHub code scanning
// takes: beyond its limit the gravest findings are kept, and the log says so.
func WriteSARIF(w io.Writer, l List, opt SARIFOptions) error {
	s := sarifWriter{opt: opt, lines: lineReader{files: opt.Files}, index: map[Code]int{}, seen: map[string]int{}}
	s.rules(l)
	kept := bySeverity(l)
	invocation := sarifInvocation{Successful: true}
	if left := len(kept) - sarifResults; left > 0 {
		kept = kept[:sarifResults]
		invocation.Notifications = []sarifNote{{"warning", sarifText{Text: fmt.Sprintf(
			"%d further findings of the lowest severity are left out: code scanning takes %d", left, sarifResults)}}}
	}
	slices.SortStableFunc(kept, func(a, b *Diagnostic) int { return Compare(a, b) })
	results := make([]sarifResult, len(kept))
	for i, d := range kept {
		results[i] = s.result(d)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs: []sarifRun{{
			Tool:        sarifTool{sarifDriver{Name: "mesh-compile", Version: opt.Version, Rules: s.used}},
			ColumnKind:  "unicodeCodePoints",
			Invocations: []sarifInvocation{invocation},
			Results:     results,
		}},
	})
}

// bySeverity orders pointers into l, gravest first.
func bySeverity(l List) []*Diagnostic {
	out := make([]*Diagnostic, len(l))
	for i := range l {
		out[i] = &l[i]
	}
	slices.SortStableFunc(out, func(a, b *Diagnostic) int { return cmp.Compare(b.Severity, a.Severity) })
	return out
}

type sarifWriter struct {
	opt   SARIFOptions
	lines lineReader
	used  []sarifRule
	index map[Code]int   // of used
	seen  map[string]int // fingerprints so far
}

// rules describes the codes that occur.
func (s *sarifWriter) rules(l List) {
	pages := make(map[Code]Page, len(s.opt.Pages))
	for _, p := range s.opt.Pages {
		pages[p.Code] = p
	}
	severity := map[Code]Severity{}
	for i := range l {
		severity[l[i].Code] = max(severity[l[i].Code], l[i].Severity)
	}
	s.used = []sarifRule{}
	for _, code := range slices.Sorted(maps.Keys(severity)) {
		s.index[code] = len(s.used)
		s.used = append(s.used, ruleOf(code, severity[code], pages))
	}
}

func ruleOf(code Code, severity Severity, pages map[Code]Page) sarifRule {
	r := sarifRule{ID: string(code), Default: sarifConfig{sarifLevel(severity)}}
	p, known := pages[code]
	if !known {
		r.ShortDescription = sarifText{Text: string(code)}
		r.FullDescription = r.ShortDescription
		return r
	}
	r.Default.Level = sarifLevel(p.Severity)
	r.ShortDescription = sarifText{Text: p.Title}
	first, _, _ := strings.Cut(strings.TrimSpace(p.Doc), "\n\n")
	r.FullDescription = sarifText{Text: strings.ReplaceAll(first, "\n", " ")}
	r.Help = &sarifText{Text: p.Doc, Markdown: p.Doc}
	return r
}

func sarifLevel(s Severity) string {
	switch s {
	case Warning:
		return "warning"
	case Info:
		return "note"
	}
	return "error"
}

func (s *sarifWriter) result(d *Diagnostic) sarifResult {
	fingerprint := d.Fingerprint()
	s.seen[fingerprint]++
	r := sarifResult{
		RuleID: string(d.Code), RuleIndex: s.index[d.Code], Level: sarifLevel(d.Severity),
		Message:   sarifText{Text: sarifMessage(d)},
		Locations: []sarifLocation{{Physical: s.place(d.Span)}},
		// The first is the one that GitHub follows a finding by; its number keeps
		// findings apart that differ in nothing but their place.
		Fingerprints: map[string]string{
			"primaryLocationLineHash": fmt.Sprintf("%s:%d", fingerprint, s.seen[fingerprint]),
			"meshCompile/v1":          fingerprint,
		},
	}
	for i, other := range d.Related[:min(len(d.Related), sarifRelated)] {
		r.Related = append(r.Related, sarifLocation{
			ID: &i, Physical: s.place(other.Span), Message: &sarifText{Text: other.Message},
		})
	}
	if d.Waived {
		r.Suppressions = []sarifSuppression{{"external"}}
	}
	return r
}

// sarifMessage says witness and fix too: viewers show the message alone.
func sarifMessage(d *Diagnostic) string {
	text := d.Message
	if d.Witness != nil {
		text += "\nWitness: " + d.Witness.String()
	}
	if d.Fix != nil {
		text += "\nFix: " + d.Fix.Message
	}
	return text
}

// place is where a finding is shown. One about a whole file is at its first
// line, and one about no file at the repository: a result without a place is
// refused.
func (s *sarifWriter) place(at source.Span) sarifPhysical {
	file := cmp.Or(at.Below(s.opt.Dir).File, cmp.Or(s.opt.Dir, "."))
	region := sarifRegion{StartLine: 1}
	if at.Start.IsValid() {
		region = sarifRegion{StartLine: at.Start.Line, StartColumn: s.lines.column(at.File, at.Start)}
		if at.End.IsValid() {
			region.EndLine, region.EndColumn = at.End.Line, s.lines.column(at.File, at.End)
		}
	}
	return sarifPhysical{sarifArtifact{(&url.URL{Path: file}).String()}, region}
}
