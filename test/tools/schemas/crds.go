package main

import (
	"fmt"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	fieldpath "k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

const generated = "Generated from controller/api/v1alpha1 by make generate. DO NOT EDIT."

// writeCRDs makes two changes to what controller-gen has made: every object
// keeps unknown fields, so that the webhook can refuse them (pruning would turn
// a misspelt condition into one that matches everything), and unions become
// oneOf, which costs nothing of the CEL budget.
func writeCRDs(m *model, files map[string][]byte) error {
	for kind, def := range m.crds {
		def.Labels = map[string]string{"app.kubernetes.io/part-of": "mesh-compile"}
		for i := range def.Spec.Versions {
			root := def.Spec.Versions[i].Schema.OpenAPIV3Schema
			for _, part := range []string{"spec", "status"} {
				if kind == "PolicySync" || slices.Contains(reports, kind) {
					break // no webhook stands before these: the API server itself refuses unknown fields
				}
				s := root.Properties[part]
				if err := crdSchema(&s); err != nil {
					return fmt.Errorf("%s.%s: %w", kind, part, err)
				}
				root.Properties[part] = s
			}
			root.Properties["apiVersion"] = apiext.JSONSchemaProps{Type: "string"}
			root.Properties["kind"] = apiext.JSONSchemaProps{Type: "string"}
			if err := isStructural(root); err != nil {
				return fmt.Errorf("CRD of %s: %w", kind, err)
			}
		}
		text, err := crdYAML(def)
		if err != nil {
			return fmt.Errorf("CRD of %s: %w", kind, err)
		}
		files["schemas/crds/"+def.Spec.Names.Plural+".yaml"] = text
	}
	return nil
}

// isStructural asks Kubernetes' own code whether an API server would take the
// schema.
func isStructural(v1 *apiext.JSONSchemaProps) error {
	var internal apiextensions.JSONSchemaProps
	if err := apiext.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v1, &internal, nil); err != nil {
		return err
	}
	s, err := structural.NewStructural(&internal)
	if err != nil {
		return err
	}
	return structural.ValidateStructural(fieldpath.NewPath("openAPIV3Schema"), s).ToAggregate()
}

// crdYAML leaves out what only an API server fills in.
func crdYAML(def *apiext.CustomResourceDefinition) ([]byte, error) {
	text, err := yaml.Marshal(def)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	delete(object, "status")
	if meta, ok := object["metadata"].(map[string]any); ok {
		delete(meta, "creationTimestamp")
	}
	text, err = yaml.Marshal(object)
	return append([]byte("# "+generated+"\n"), text...), err
}

func crdSchema(s *apiext.JSONSchemaProps) error {
	s.Description = doc(s.Description)
	if s.Type == "object" && s.AdditionalProperties == nil {
		keep := true
		s.XPreserveUnknownFields = &keep
	}
	list, err := unions(s)
	if err != nil {
		return err
	}
	s.XValidations = nil
	for _, u := range list {
		addUnion(s, u)
	}
	for name, p := range s.Properties {
		if err := crdSchema(&p); err != nil {
			return err
		}
		s.Properties[name] = p
	}
	if s.Items != nil && s.Items.Schema != nil {
		if err := crdSchema(s.Items.Schema); err != nil {
			return err
		}
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		return crdSchema(s.AdditionalProperties.Schema)
	}
	return nil
}

// addUnion says a union in the words of JSON Schema.
func addUnion(s *apiext.JSONSchemaProps, u union) {
	var one []apiext.JSONSchemaProps
	for _, f := range u.fields {
		one = append(one, apiext.JSONSchemaProps{Required: []string{f}})
	}
	branch := apiext.JSONSchemaProps{}
	switch u.how {
	case "exactly one":
		branch.OneOf = one
	case "at least one":
		branch.AnyOf = one
	case "at most one":
		branch.OneOf = append(one, apiext.JSONSchemaProps{Not: &apiext.JSONSchemaProps{AnyOf: one}})
	}
	s.AllOf = append(s.AllOf, branch)
}
