package admission

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Finding is a diagnostic about an object of the cluster.
type Finding struct {
	Object   string // "Kind namespace/name"
	Field    string // "spec.http[0].route", empty where it is about the whole
	Code     string
	Severity string
	Message  string   // as lint says it
	Related  []string // other places that explain it: "Kind namespace/name: field: text"
	Fix      string
	Witness  string
	Curable  bool // a later object can cure it

	unmasked bool // in another object that was in error before: not this change's fault
}

// refuses reports whether the finding alone keeps an object out.
func (f *Finding) refuses() bool {
	return !f.Curable && !f.unmasked && (f.Severity == diag.Error.String() || f.Severity == diag.Critical.String())
}

// introduced returns what a change brings in: findings that did not stand before,
// and all of the changed object itself. One error often hides others: what comes to
// light in another object that was in error before is marked as unmasked.
func introduced(before, after *compiler.Result, set *objects.Set, path string) []Finding {
	stood, broken := map[string]int{}, map[string]bool{}
	for i := range before.Diagnostics {
		d := &before.Diagnostics[i]
		stood[d.Fingerprint()]++
		if d.Severity >= diag.Error && !d.Waived {
			broken[d.Span.File] = true
		}
	}
	var out []Finding
	for _, d := range after.Diagnostics {
		print := d.Fingerprint()
		stood[print]--
		if d.Span.File == path || stood[print] < 0 {
			for _, f := range findings(set, diag.List{d}) {
				f.unmasked = d.Span.File != path && broken[d.Span.File]
				out = append(out, f)
			}
		}
	}
	return out
}

// findings shows diagnostics by object and field; those that were waived are left out.
func findings(set *objects.Set, list diag.List) []Finding {
	var out []Finding
	for i := range list {
		d := &list[i]
		if d.Waived {
			continue
		}
		f := Finding{Code: string(d.Code), Severity: d.Severity.String(), Message: d.Message, Curable: compiler.Curable(d.Code)}
		f.Object, f.Field = locate(set, d.Span)
		if f.Object == "" {
			f.Object = d.Object
		}
		for _, rel := range d.Related {
			object, field := locate(set, rel.Span)
			f.Related = append(f.Related, place(object, field)+rel.Message)
		}
		if d.Fix != nil {
			f.Fix = d.Fix.Message
		}
		if d.Witness != nil {
			f.Witness = d.Witness.String()
		}
		out = append(out, f)
	}
	return out
}

// locate names the object and the field at a place of a rendered file.
func locate(set *objects.Set, at source.Span) (object, field string) {
	data, ok := set.Get(at.File)
	var doc yaml.Node
	if !ok || yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return "", ""
	}
	root := doc.Content[0]
	meta := value(root, "metadata")
	object = text(meta, "name")
	if ns := text(meta, "namespace"); ns != "" {
		object = ns + "/" + object
	}
	descend(root, "", at.Start, &field)
	return text(root, "kind") + " " + object, strings.TrimPrefix(field, ".")
}

// descend leaves in found the path of the last value that begins, with its key, at
// or before the place: values come in the order of the text.
func descend(n *yaml.Node, path string, at source.Pos, found *string) {
	visit := func(begin, v *yaml.Node, path string) {
		if begin.Line < at.Line || begin.Line == at.Line && begin.Column <= at.Column {
			*found = path
			descend(v, path, at, found)
		}
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			visit(n.Content[i], n.Content[i+1], path+key(n.Content[i].Value))
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			visit(item, item, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

// key is one step of a field path; keys with dots are quoted, as kubectl does.
func key(name string) string {
	if strings.ContainsAny(name, "./[]") {
		return fmt.Sprintf("[%q]", name)
	}
	return "." + name
}

func value(n *yaml.Node, name string) *yaml.Node {
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

func text(n *yaml.Node, name string) string {
	if v := value(n, name); v != nil {
		return v.Value
	}
	return ""
}
