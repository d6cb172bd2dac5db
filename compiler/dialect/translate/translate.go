// Package translate is what the translators of all dialects share: the codes
// of their diagnostics and a report that knows its document.
//
// In: a document. Out: diagnostics that name it. It knows no dialect.
package translate

import (
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Codes of the translators' diagnostics. A wrong type or an unknown field is
// load.CodeSchema.
const (
	// CodeUnsupported: a kind or field of a group that we read, whose meaning we
	// do not implement. It is never dropped in silence.
	CodeUnsupported diag.Code = "unsupported"
	// CodeValue: a value of the right type that the field does not take.
	CodeValue diag.Code = "value"
	// CodeProtocol: a port whose protocol was not declared or is not proxied.
	CodeProtocol diag.Code = "protocol"
)

// Report collects the diagnostics of one document.
type Report struct {
	Doc   *load.Document
	Diags diag.List
}

// Add appends a diagnostic about the document.
func (r *Report) Add(code diag.Code, sev diag.Severity, at source.Span, format string, args ...any) *diag.Diagnostic {
	d := r.Diags.Add(code, sev, at, format, args...)
	d.Object = r.Doc.Object()
	return d
}

// Errorf appends an error about the document.
func (r *Report) Errorf(code diag.Code, at source.Span, format string, args ...any) *diag.Diagnostic {
	return r.Add(code, diag.Error, at, format, args...)
}

// Origin names the document for the model.
func (r *Report) Origin(d mesh.Dialect) mesh.Origin {
	return mesh.Origin{
		Dialect:   d,
		Kind:      r.Doc.Kind,
		Namespace: r.Doc.Namespace,
		Name:      r.Doc.Name,
		Span:      r.Doc.Root.Nearest("metadata", "name"),
	}
}

// Elsewhere drops findings at places where the document's shape is already wrong:
// the first mistake is to be mended first.
func Elsewhere(found, shape diag.List) diag.List {
	if len(shape) == 0 {
		return found
	}
	faulty := make(map[source.Span]bool, len(shape))
	for i := range shape {
		faulty[shape[i].Span] = true
	}
	var kept diag.List
	for _, d := range found {
		if !faulty[d.Span] {
			kept = append(kept, d)
		}
	}
	return kept
}
