package audit

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// Bounds of a report, which are also the CRD's.
const (
	maxFindings = 100
	maxText     = 1024
)

// ranks of severities, the most severe first. What is no finding of these is not
// reported.
var ranks = map[string]int{diag.Critical.String(): 0, diag.Error.String(): 1, diag.Warning.String(): 2}

// reports are what is found, by namespace. What is in no namespace is in the report of
// the control plane's own.
func reports(found []admission.Finding, own string) map[string]*v1alpha1.AuditReport {
	out := map[string]*v1alpha1.AuditReport{}
	for _, f := range found {
		rank, reported := ranks[f.Severity]
		if !reported {
			continue
		}
		namespace := cmp.Or(namespaceOf(f.Object), own)
		r := out[namespace]
		if r == nil {
			r = &v1alpha1.AuditReport{}
			r.Namespace, r.Name = namespace, Name
			out[namespace] = r
		}
		if rank <= ranks[diag.Error.String()] {
			r.Errors++
		} else {
			r.Warnings++
		}
		r.Findings = append(r.Findings, v1alpha1.AuditFinding{
			Object: cut(f.Object), Field: cut(f.Field), Code: f.Code, Severity: f.Severity, Message: cut(f.Message), Fix: cut(f.Fix),
		})
	}
	for _, r := range out {
		slices.SortStableFunc(r.Findings, func(a, b v1alpha1.AuditFinding) int {
			return cmp.Or(ranks[a.Severity]-ranks[b.Severity], strings.Compare(a.Object, b.Object), strings.Compare(a.Field, b.Field))
		})
		r.Findings = r.Findings[:min(len(r.Findings), maxFindings)]
	}
	return out
}

// namespaceOf reads "Kind namespace/name", "" where there is none.
func namespaceOf(object string) string {
	_, name, _ := strings.Cut(object, " ")
	namespace, _, found := strings.Cut(name, "/")
	if !found {
		return ""
	}
	return namespace
}

// cut shortens a text to what the CRD takes, between characters.
func cut(s string) string {
	if utf8.RuneCountInString(s) <= maxText {
		return s
	}
	return string([]rune(s)[:maxText-3]) + "..."
}
