package translate

import (
	"strconv"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Wrong reports a value that the field does not take.
func (r *Report) Wrong(at source.Span, format string, args ...any) *diag.Diagnostic {
	return r.Errorf(CodeValue, at, format, args...)
}

// Warn reports a value that does nothing, or not what it seems to.
func (r *Report) Warn(at source.Span, format string, args ...any) *diag.Diagnostic {
	return r.Add(CodeValue, diag.Warning, at, format, args...)
}

// Unsupported reports a field or value whose meaning we do not read.
func (r *Report) Unsupported(at source.Span, format string, args ...any) *diag.Diagnostic {
	return r.Errorf(CodeUnsupported, at, format, args...)
}

// At is where to point for a key of n: its value, or n where it is missing.
func (r *Report) At(n *load.Node, key string) source.Span {
	if v := n.Get(key); v != nil {
		return v.Span
	}
	if n != nil {
		return n.Span
	}
	return r.Doc.Root.Nearest("metadata", "name")
}

// Exclusive reports that two fields stand together.
func (r *Report) Exclusive(n *load.Node, first, second, why string) {
	a, b := n.Field(first), n.Field(second)
	if a == nil || b == nil {
		return
	}
	d := r.Wrong(b.KeySpan, "%s stands beside %s: %s", second, first, why)
	d.Related = []diag.Related{{Span: a.KeySpan, Message: first}}
}

// WrongType reports a value of another type than the field's.
func (r *Report) WrongType(n *load.Node, name, want string) {
	switch {
	case n.Kind == load.Null:
		r.Errorf(load.CodeSchema, n.Span, "%s is null: give it a value or leave it out", name)
	case n.Kind == load.List || n.Kind == load.Map:
		r.Errorf(load.CodeSchema, n.Span, "%s is the %s, want %s", name, n.Kind, want)
	case want == "a string":
		d := r.Errorf(load.CodeSchema, n.Span, "%s is the %s %s, want a string: write %q", name, n.Kind, n.Text, n.Text)
		if n.Span.End.IsValid() {
			d.Fix = &diag.Fix{Message: "quote the value", Edits: []source.Edit{{Span: n.Span, New: strconv.Quote(n.Text)}}}
		}
	default:
		r.Errorf(load.CodeSchema, n.Span, "%s is the %s %q, want %s", name, n.Kind, n.Text, want)
	}
}
