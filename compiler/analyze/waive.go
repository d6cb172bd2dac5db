package analyze

import (
	"cmp"
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// CodeWaiver is the code of what is found in waivers.
const CodeWaiver diag.Code = "waiver"

// Waive marks the findings that a waiver of the mesh accepts, and returns what is
// wrong with waivers: those that speak of another namespace's finding. Whoever may
// write in a namespace accepts what is found there, and nothing else: a fingerprint
// is no secret. Critical findings and those of a lapsed waiver stand.
func Waive(m *check.Mesh, found []*diag.Diagnostic, lapsed func(*mesh.Waiver) bool) diag.List {
	if len(m.Waivers()) == 0 {
		return nil
	}
	byPrint := make(map[string][]*diag.Diagnostic, len(found))
	for _, d := range found {
		print := d.Fingerprint()
		byPrint[print] = append(byPrint[print], d)
	}
	var misplaced diag.List
	for _, w := range m.Waivers() {
		if lapsed(w) {
			continue
		}
		if meant := byPrint[w.Fingerprint]; len(meant) > 0 && !accept(w, meant) {
			misplaced = append(misplaced, elsewhere(w, meant[0]))
		}
	}
	return misplaced
}

// accept marks what a waiver accepts of the findings that it names. It reports
// whether one of them is of the waiver's namespace.
func accept(w *mesh.Waiver, meant []*diag.Diagnostic) (own bool) {
	for _, d := range meant {
		if w.Namespace == "" || d.Namespace() != w.Namespace {
			continue
		}
		own = true
		if d.Severity < diag.Critical && (w.Code == "" || w.Code == string(d.Code)) {
			d.Waived = true
		}
	}
	return own
}

// elsewhere is a warning, never an error: others could write a waiver in advance,
// and the change that brings the finding would be refused for it.
func elsewhere(w *mesh.Waiver, d *diag.Diagnostic) diag.Diagnostic {
	out := diag.Diagnostic{
		Code: CodeWaiver, Severity: diag.Warning,
		Span: w.Span, Object: w.Object(),
		Related: []diag.Related{{Span: d.Span, Message: "the finding"}},
	}
	if namespace := d.Namespace(); namespace != "" {
		out.Message = fmt.Sprintf("finding %s is of namespace %s: this waiver accepts nothing", w.Fingerprint, namespace)
		out.Fix = &diag.Fix{Message: "write the waiver in namespace " + namespace}
		return out
	}
	out.Message = fmt.Sprintf("finding %s is of %s, which has no namespace: no waiver accepts it", w.Fingerprint, cmp.Or(d.Object, d.Span.File))
	out.Fix = &diag.Fix{Message: "mend the finding and remove the waiver"}
	return out
}
