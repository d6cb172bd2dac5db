package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/format"
	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

const cueModule = `// ` + generated + `

module: "mesh-compile.dev@v0"
language: version: "v0.17.0"
`

const cueHead = `// ` + generated + `

// Package v1alpha1 is the native kinds of mesh-compile as closed definitions of
// optional fields without defaults. Which fields may stand together is said in
// comments where CUE would need a disjunction: the compiler checks it.
package v1alpha1

import (
	"list"
	"strings"
	"struct"
)
`

// writeCUE makes the module that people import. It is not made by CUE's own
// importer of CRDs, which repeats every type in place: named types can be used
// in people's own definitions, and make shorter errors.
func writeCUE(m *model, files map[string][]byte) error {
	var b strings.Builder
	b.WriteString(cueHead)
	for _, kind := range m.kinds {
		comment(&b, doc(m.types[kind].doc))
		fmt.Fprintf(&b, "#%s: {\napiVersion: %q\nkind: %q\nmetadata!: #ObjectMeta\nspec!: #%[1]sSpec\nstatus?: _\n}\n\n", kind, apiVersion, kind)
	}
	b.WriteString("// ObjectMeta is Kubernetes' metadata of an object.\n#ObjectMeta: {\n" +
		"name!: #Name\nnamespace?: strings.MaxRunes(63) & =~\"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$\"\n" +
		"labels?: {[string]: string}\nannotations?: {[string]: string}\n\n// What an API server adds.\n")
	for _, f := range serverFields {
		fmt.Fprintf(&b, "%s?: _\n", f)
	}
	b.WriteString("}\n\n")
	for _, name := range m.typeNames() {
		if err := m.definition(&b, m.types[name]); err != nil {
			return fmt.Errorf("CUE definition of %s: %w", name, err)
		}
	}
	text, err := format.Source([]byte(b.String()), format.Simplify())
	if err != nil {
		return fmt.Errorf("formatting CUE: %w", err)
	}
	files["schemas/cue/cue.mod/module.cue"] = []byte(cueModule)
	files["schemas/cue/v1alpha1/v1alpha1.cue"] = text
	return nil
}

// typeNames are the types that some kind uses, sorted.
func (m *model) typeNames() []string {
	used := map[string]bool{}
	for _, kind := range m.kinds {
		for _, t := range m.reachable(kind) {
			used[t.name] = true
		}
	}
	return slices.Sorted(maps.Keys(used))
}

func (m *model) definition(b *strings.Builder, t *typ) error {
	comment(b, doc(t.doc))
	list, err := unions(&t.schema)
	if err != nil {
		return err
	}
	for _, u := range list {
		comment(b, "Has "+u.how+" of "+strings.Join(u.fields, ", ")+".")
	}
	if t.fields == nil {
		fmt.Fprintf(b, "#%s: %s\n\n", t.name, cueType(&t.schema))
		return nil
	}
	fmt.Fprintf(b, "#%s: %s{\n", t.name, fieldCount(t, list))
	for _, f := range t.fields {
		comment(b, doc(f.doc))
		mark := "?"
		if f.required {
			mark = "!"
		}
		fmt.Fprintf(b, "%s%s: %s\n", f.name, mark, cueType(&f.schema))
	}
	b.WriteString("}\n\n")
	return nil
}

// fieldCount bounds the number of fields, which says a union of all fields of a
// type without a disjunction.
func fieldCount(t *typ, list []union) string {
	low, high := t.schema.MinProperties, t.schema.MaxProperties
	one := int64(1)
	for _, u := range list {
		if len(u.fields) == len(t.fields) && u.how != "at most one" {
			low = &one
		}
		if len(u.fields) == len(t.fields) && u.how != "at least one" {
			high = &one
		}
	}
	return bounds("struct.MinFields(%d) & ", low) + bounds("struct.MaxFields(%d) & ", high)
}

func bounds(format string, n *int64) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf(format, *n)
}

// cueType is the expression of a schema.
func cueType(s *apiext.JSONSchemaProps) string {
	parts := constraints(s)
	switch {
	case s.Ref != nil:
		parts = append([]string{"#" + refName(*s.Ref)}, parts...)
	case len(s.AllOf) == 1 && s.AllOf[0].Ref != nil:
		parts = append([]string{cueType(&s.AllOf[0])}, parts...)
	case s.Type == "array":
		parts = append(parts, listType(s))
	case s.Type == "object":
		elem := "_"
		if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
			elem = cueType(s.AdditionalProperties.Schema)
		}
		parts = append(parts, "{[string]: "+elem+"}")
	case len(s.Enum) > 0:
		return enum(s.Enum)
	case s.Type == "integer" && (s.Minimum == nil || s.Maximum == nil):
		// A missing end is int32's.
		parts = append([]string{"int32"}, parts...)
	case s.Type == "integer":
		parts = append([]string{"int"}, parts...)
	case s.Type == "number":
		parts = append([]string{"number"}, parts...)
	case s.Type == "boolean":
		parts = append(parts, "bool")
	case s.Pattern == "":
		parts = append([]string{"string"}, parts...)
	}
	return strings.Join(parts, " & ")
}

func listType(s *apiext.JSONSchemaProps) string {
	elem := cueType(s.Items.Schema)
	if s.MinItems != nil && *s.MinItems == 1 {
		return "[" + elem + ", ..." + elem + "]"
	}
	return "[..." + elem + "]"
}

func constraints(s *apiext.JSONSchemaProps) []string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if s.Minimum != nil {
		add(">=%s", number(*s.Minimum))
	}
	if s.Maximum != nil {
		add("<=%s", number(*s.Maximum))
	}
	if s.MinLength != nil && s.Pattern == "" {
		add("strings.MinRunes(%d)", *s.MinLength)
	}
	if s.MaxLength != nil {
		add("strings.MaxRunes(%d)", *s.MaxLength)
	}
	if s.Pattern != "" {
		add("=~%s", strconv.Quote(s.Pattern))
	}
	if s.MinItems != nil && *s.MinItems != 1 {
		add("list.MinItems(%d)", *s.MinItems)
	}
	if s.MaxItems != nil {
		add("list.MaxItems(%d)", *s.MaxItems)
	}
	if s.MinProperties != nil {
		add("struct.MinFields(%d)", *s.MinProperties)
	}
	if s.MaxProperties != nil {
		add("struct.MaxFields(%d)", *s.MaxProperties)
	}
	return parts
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// enum is a pattern for strings: a disjunction costs more, and each of its
// branches makes an error of its own.
func enum(values []apiext.JSON) string {
	var words, all []string
	for _, v := range values {
		var word string
		if json.Unmarshal(v.Raw, &word) == nil {
			words = append(words, word)
		}
		all = append(all, string(v.Raw))
	}
	if len(words) == len(all) {
		return "=~" + strconv.Quote("^("+strings.Join(words, "|")+")$")
	}
	return strings.Join(all, " | ")
}

// comment writes text as a comment of at most 80 columns.
func comment(b *strings.Builder, text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString("//\n")
		}
		line := "//"
		for word := range strings.FieldsSeq(paragraph) {
			if len(line)+1+len(word) > 80 {
				b.WriteString(line + "\n")
				line = "//"
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
	}
}
