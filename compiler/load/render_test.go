package load_test

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func render(fsys fs.FS, opt load.Options, values bool) string {
	res, diags := load.Load(fsys, opt)
	var b strings.Builder
	for _, d := range res.Documents {
		fmt.Fprintf(&b, "document %s %s", d.Span, d.Object())
		if d.NamespaceDefaulted {
			b.WriteString(" (defaulted)")
		}
		b.WriteString("\n")
		if values {
			renderNode(&b, d.Root, "  ")
		}
	}
	for _, f := range res.Foreign {
		fmt.Fprintf(&b, "foreign %s %s %s\n", f.Span, f.APIVersion, f.Kind)
	}
	for _, d := range diags {
		fmt.Fprintf(&b, "%s: %s: %s [%s]", d.Span, d.Severity, d.Message, d.Code)
		if d.Object != "" {
			fmt.Fprintf(&b, " in %s", d.Object)
		}
		b.WriteString("\n")
		for _, r := range d.Related {
			fmt.Fprintf(&b, "\t%s: %s\n", r.Span, r.Message)
		}
		if d.Fix != nil {
			fmt.Fprintf(&b, "\tfix: %s\n", d.Fix.Message)
		}
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func renderNode(b *strings.Builder, n *load.Node, indent string) {
	for _, f := range n.Fields {
		fmt.Fprintf(b, "%s%s %s: %s\n", indent, place(f.KeySpan), f.Key, scalar(f.Value))
		renderNode(b, f.Value, indent+"  ")
	}
	for _, item := range n.Items {
		fmt.Fprintf(b, "%s- %s\n", indent, scalar(item))
		renderNode(b, item, indent+"  ")
	}
}

func scalar(n *load.Node) string {
	switch n.Kind {
	case load.Map, load.List, load.Null:
		return fmt.Sprintf("%s %s", place(n.Span), n.Kind)
	}
	return fmt.Sprintf("%s %s %q", place(n.Span), n.Kind, n.Text)
}

// place renders "line:column-end", with the file for another file's values left
// to the line.
func place(s source.Span) string {
	switch {
	case !s.End.IsValid():
		return fmt.Sprintf("%d:%d", s.Start.Line, s.Start.Column)
	case s.End.Line == s.Start.Line:
		return fmt.Sprintf("%d:%d-%d", s.Start.Line, s.Start.Column, s.End.Column)
	}
	return fmt.Sprintf("%d:%d-%d:%d", s.Start.Line, s.Start.Column, s.End.Line, s.End.Column)
}
