package policytest

// Report is the document of `mesh-compile test --format json`.
type Report struct {
	Version  int           `json:"version"`
	Cases    []CaseReport  `json:"cases"`
	Coverage *Coverage     `json:"coverage,omitempty"`
	Summary  ReportSummary `json:"summary"`
}

// CaseReport is one case and what of it does not hold.
type CaseReport struct {
	Test     string          `json:"test"` // "PolicyTest shop/payment-is-closed"
	Name     string          `json:"name"`
	File     string          `json:"file"`
	Line     int             `json:"line"`
	Column   int             `json:"column"`
	Passed   bool            `json:"passed"`
	Failures []FailureReport `json:"failures,omitempty"`
	// Differences between the evaluator and Envoy, with --envoy.
	Differences []string `json:"differences,omitempty"`
}

// FailureReport is an expectation that does not hold.
type FailureReport struct {
	Field string         `json:"field"`
	Want  string         `json:"want"`
	Got   string         `json:"got"`
	By    *DeciderReport `json:"by,omitempty"`
}

// DeciderReport is the rule or reason that decided, and its place where it has one.
type DeciderReport struct {
	Name   string `json:"name"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// ReportSummary counts cases.
type ReportSummary struct {
	Cases  int `json:"cases"`
	Passed int `json:"passed"`
}

// NewReport makes the document of results. dir is put before file names.
func NewReport(results []Result, dir string) *Report {
	out := &Report{Version: 1, Cases: make([]CaseReport, len(results)), Summary: ReportSummary{Cases: len(results)}}
	for i := range results {
		r := &results[i]
		at := r.Case.Span.Below(dir)
		out.Cases[i] = CaseReport{
			Test: r.Test.Object(), Name: r.Case.Name, File: at.File, Line: at.Start.Line, Column: at.Start.Column, Passed: r.Passed(),
		}
		if r.Passed() {
			out.Summary.Passed++
		}
		for _, f := range r.Failures {
			out.Cases[i].Failures = append(out.Cases[i].Failures, f.report(dir))
		}
	}
	return out
}

func (f *Failure) report(dir string) FailureReport {
	out := FailureReport{Field: f.Field, Want: f.Want, Got: f.Got}
	if f.By.Name != "" {
		at := f.By.At.Below(dir)
		out.By = &DeciderReport{f.By.Name, at.File, at.Start.Line, at.Start.Column}
	}
	return out
}
