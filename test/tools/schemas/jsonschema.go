package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// schema is JSON Schema 2020-12, as far as it is used. Package
// compiler/load/structural reads the same file and knows the same words.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Comment     string             `json:"$comment,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Type        string             `json:"type,omitempty"`
	Const       string             `json:"const,omitempty"`
	Enum        []json.RawMessage  `json:"enum,omitempty"`
	Format      string             `json:"format,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	MinLength   *int64             `json:"minLength,omitempty"`
	MaxLength   *int64             `json:"maxLength,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	MinItems    *int64             `json:"minItems,omitempty"`
	MaxItems    *int64             `json:"maxItems,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	ListMapKeys []string           `json:"x-kubernetes-list-map-keys,omitempty"`
	MinProps    *int64             `json:"minProperties,omitempty"`
	MaxProps    *int64             `json:"maxProperties,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false or *schema
	AllOf       []*schema          `json:"allOf,omitempty"`
	AnyOf       []*schema          `json:"anyOf,omitempty"`
	OneOf       []*schema          `json:"oneOf,omitempty"`
	Not         *schema            `json:"not,omitempty"`
	If          *schema            `json:"if,omitempty"`
	Then        *schema            `json:"then,omitempty"`
	Defs        map[string]*schema `json:"$defs,omitempty"`
}

const dialect = "https://json-schema.org/draft/2020-12/schema"

// writeJSON makes one schema for all kinds and one for each, for editors and for
// the compiler's own check.
func writeJSON(m *model, files map[string][]byte) error {
	all := &schema{
		Schema: dialect, Comment: generated, Title: apiVersion, Type: "object",
		Properties: map[string]*schema{"apiVersion": {Const: apiVersion}, "kind": {Type: "string"}},
		Required:   []string{"apiVersion", "kind"},
		Defs:       map[string]*schema{"ObjectMeta": objectMeta()},
	}
	for _, kind := range m.kinds {
		one := m.kindSchema(kind)
		defs := map[string]*schema{"ObjectMeta": objectMeta()}
		for _, t := range m.reachable(kind) {
			s, err := m.typeSchema(t)
			if err != nil {
				return fmt.Errorf("type %s: %w", t.name, err)
			}
			defs[t.name], all.Defs[t.name] = s, s
		}
		all.Defs[kind] = one
		all.Properties["kind"].Enum = append(all.Properties["kind"].Enum, json.RawMessage(`"`+kind+`"`))
		all.AllOf = append(all.AllOf, &schema{
			If:   &schema{Properties: map[string]*schema{"kind": {Const: kind}}, Required: []string{"kind"}},
			Then: &schema{Ref: "#/$defs/" + kind},
		})
		alone := *one
		alone.Schema, alone.Comment, alone.Defs = dialect, generated, defs
		if err := marshal(files, "schemas/json/"+strings.ToLower(kind)+".schema.json", &alone); err != nil {
			return err
		}
	}
	return marshal(files, "schemas/json/mesh-compile.schema.json", all)
}

func marshal(files map[string][]byte, name string, s *schema) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	files[name] = nil
	err := e.Encode(s)
	files[name] = b.Bytes()
	return err
}

func (m *model) kindSchema(kind string) *schema {
	return &schema{
		Title: kind, Description: doc(m.types[kind].doc), Type: "object",
		Properties: map[string]*schema{
			"apiVersion": {Const: apiVersion},
			"kind":       {Const: kind},
			"metadata":   {Ref: "#/$defs/ObjectMeta"},
			"spec":       {Ref: "#/$defs/" + kind + "Spec"},
			"status":     {Description: "Written by the controller, never read by the compiler."},
		},
		Required: []string{"apiVersion", "kind", "metadata", "spec"}, Additional: false,
	}
}

// serverFields are what an API server adds to metadata: accepted, because people
// save what kubectl prints, and not described further.
var serverFields = []string{
	"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers", "generateName",
	"generation", "managedFields", "ownerReferences", "resourceVersion", "selfLink", "uid",
}

func objectMeta() *schema {
	length := int64(253)
	label := int64(63)
	values := func(text string) *schema {
		return &schema{Type: "object", Description: text, Additional: &schema{Type: "string"}}
	}
	s := &schema{
		Type: "object", Required: []string{"name"}, Additional: false,
		Properties: map[string]*schema{
			"name": {
				Type: "string", Description: "Name of the object, unique for its kind and namespace.",
				Pattern: `^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`, MaxLength: &length,
			},
			"namespace": {
				Type: "string", Description: "Namespace of the object; a kustomization or --namespace may give it.",
				Pattern: `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, MaxLength: &label,
			},
			"labels":      values("Labels of the object."),
			"annotations": values("Annotations of the object."),
		},
	}
	for _, f := range serverFields {
		s.Properties[f] = &schema{}
	}
	return s
}

func (m *model) typeSchema(t *typ) (*schema, error) {
	s := m.convert(&t.schema)
	s.Description = doc(t.doc)
	list, err := unions(&t.schema)
	if err != nil {
		return nil, err
	}
	for _, u := range list {
		props := &apiext.JSONSchemaProps{}
		addUnion(props, u)
		s.AllOf = append(s.AllOf, m.convert(&props.AllOf[0]))
	}
	if t.fields == nil {
		return s, nil
	}
	s.Properties, s.Required, s.Additional = map[string]*schema{}, nil, false
	for _, f := range t.fields {
		p := m.convert(&f.schema)
		p.Description = doc(f.doc)
		s.Properties[f.name] = p
		if f.required {
			s.Required = append(s.Required, f.name)
		}
	}
	return s, nil
}

// convert translates controller-gen's schema; types stay references.
func (m *model) convert(p *apiext.JSONSchemaProps) *schema {
	s := &schema{
		Type: p.Type, Format: p.Format, Pattern: p.Pattern, MinLength: p.MinLength, MaxLength: p.MaxLength,
		Minimum: p.Minimum, Maximum: p.Maximum, MinItems: p.MinItems, MaxItems: p.MaxItems,
		MinProps: p.MinProperties, MaxProps: p.MaxProperties, Required: p.Required, ListMapKeys: p.XListMapKeys,
		OneOf: m.convertAll(p.OneOf), AnyOf: m.convertAll(p.AnyOf), AllOf: m.convertAll(p.AllOf),
	}
	if p.Format == "int32" && p.Ref == nil {
		closeInt32(s)
	}
	for _, e := range p.Enum {
		s.Enum = append(s.Enum, json.RawMessage(e.Raw))
	}
	if p.Ref != nil {
		s.Ref = "#/$defs/" + refName(*p.Ref)
	}
	if p.Not != nil {
		s.Not = m.convert(p.Not)
	}
	if p.Items != nil && p.Items.Schema != nil {
		s.Items = m.convert(p.Items.Schema)
	}
	if p.AdditionalProperties != nil && p.AdditionalProperties.Schema != nil {
		s.Additional = m.convert(p.AdditionalProperties.Schema)
	}
	return s
}

// closeInt32 says the open ends: most readers of JSON Schema do not look at
// format.
func closeInt32(s *schema) {
	low, high := float64(math.MinInt32), float64(math.MaxInt32)
	if s.Minimum == nil {
		s.Minimum = &low
	}
	if s.Maximum == nil {
		s.Maximum = &high
	}
}

func (m *model) convertAll(list []apiext.JSONSchemaProps) []*schema {
	var out []*schema
	for i := range list {
		out = append(out, m.convert(&list[i]))
	}
	return out
}
