package main

import (
	"encoding/json"
	"fmt"
	"strings"

	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// writeReference makes an index and one page for each kind: an example, its types with their fields, and
// below them the named values that the fields use.
func writeReference(m *model, files map[string][]byte) error {
	var index strings.Builder
	fmt.Fprintf(&index, "<!-- %s -->\n\n# Kinds of `%s`\n\n", generated, apiVersion)
	for _, kind := range m.kinds {
		fmt.Fprintf(&index, "- [%s](%s.md): %s\n", kind, strings.ToLower(kind), doc(m.types[kind].doc))
	}
	files["docs/reference/kinds/README.md"] = []byte(index.String())
	for _, kind := range m.kinds {
		var b strings.Builder
		names := m.crds[kind].Spec.Names
		scope := "namespace"
		if m.crds[kind].Spec.Scope == apiext.ClusterScoped {
			scope = "cluster"
		}
		fmt.Fprintf(&b, "<!-- %s -->\n\n# %s\n\n%s\n\n", generated, kind, doc(m.types[kind].doc))
		fmt.Fprintf(&b, "`apiVersion: %s`, scope: %s, resource: `%s`, short name: `%s`.\n", apiVersion, scope, names.Plural, strings.Join(names.ShortNames, "`, `"))
		fmt.Fprintf(&b, "\n```yaml\n%s```\n", m.examples[kind])
		var values []*typ
		for _, t := range m.reachable(kind) {
			if t.fields == nil {
				values = append(values, t)
				continue
			}
			if err := structure(&b, kind, t); err != nil {
				return err
			}
		}
		if len(values) > 0 {
			b.WriteString("\n## Values\n")
		}
		for _, t := range values {
			fmt.Fprintf(&b, "\n### %s\n\n%s\n", t.name, doc(t.doc))
			if facts := facts(&t.schema); facts != "" {
				fmt.Fprintf(&b, "\n%s.\n", facts)
			}
		}
		files["docs/reference/kinds/"+strings.ToLower(kind)+".md"] = []byte(b.String())
	}
	return nil
}

func structure(b *strings.Builder, kind string, t *typ) error {
	heading := "### " + t.name
	if t.name == kind+"Spec" {
		heading = "## spec"
	}
	fmt.Fprintf(b, "\n%s\n\n%s\n\n", heading, doc(t.doc))
	list, err := unions(&t.schema)
	if err != nil {
		return fmt.Errorf("type %s: %w", t.name, err)
	}
	for _, u := range list {
		fmt.Fprintf(b, "%s of `%s`.\n\n", strings.ToUpper(u.how[:1])+u.how[1:], strings.Join(u.fields, "`, `"))
	}
	for _, f := range t.fields {
		required := ""
		if f.required {
			required = ", required"
		}
		fmt.Fprintf(b, "- **`%s`** (%s%s): %s", f.name, typeLink(&f.schema), required, strings.ReplaceAll(doc(f.doc), "\n\n", " "))
		if facts := facts(&f.schema); facts != "" {
			fmt.Fprintf(b, " *%s.*", facts)
		}
		b.WriteString("\n")
	}
	return nil
}

// typeLink names the type of a field, with a link where it has a section.
func typeLink(s *apiext.JSONSchemaProps) string {
	switch {
	case s.Ref != nil:
		name := refName(*s.Ref)
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	case len(s.AllOf) == 1:
		return typeLink(&s.AllOf[0])
	case s.Type == "array":
		return "list of " + typeLink(s.Items.Schema)
	case s.Type == "object" && s.AdditionalProperties != nil:
		return "map of string to " + typeLink(s.AdditionalProperties.Schema)
	}
	return s.Type
}

// facts says the bounds of a value in words.
func facts(s *apiext.JSONSchemaProps) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if len(s.Enum) > 0 {
		var words []string
		for _, e := range s.Enum {
			var word any
			_ = json.Unmarshal(e.Raw, &word)
			words = append(words, fmt.Sprintf("`%v`", word))
		}
		add("One of %s", strings.Join(words, ", "))
	}
	span := func(low, high *int64, what string) {
		switch {
		case low != nil && high != nil:
			add("%d to %d %s", *low, *high, what)
		case high != nil:
			add("At most %d %s", *high, what)
		case low != nil:
			add("At least %d %s", *low, what)
		}
	}
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		add("%s to %s", number(*s.Minimum), number(*s.Maximum))
	case s.Minimum != nil:
		add("At least %s", number(*s.Minimum))
	}
	if s.Pattern != "" {
		add("Matches `%s`", s.Pattern)
	}
	span(s.MinLength, s.MaxLength, "characters")
	span(s.MinItems, s.MaxItems, "items")
	span(s.MinProperties, s.MaxProperties, "fields")
	return strings.Join(parts, ". ")
}
