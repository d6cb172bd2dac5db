package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-tools/pkg/crd"
	crdmarkers "sigs.k8s.io/controller-tools/pkg/crd/markers"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
)

const (
	apiVersion = "mesh-compile.dev/v1alpha1"
	apiPackage = "./controller/api/v1alpha1"
)

// reports are the kinds that controllers alone write: they have a CRD, and
// nothing for people who write documents.
var reports = []string{"AuditReport", "FleetReport", "Release"}

// model is the named types of the API, and the CRDs, in which controller-gen
// has put each type in place of its name.
type model struct {
	roots []*loader.Package
	kinds []string // sorted
	types map[string]*typ
	crds  map[string]*apiext.CustomResourceDefinition // by kind

	examples map[string][]byte // by kind: a valid document, which is a test's fixture
}

// typ is one named Go type.
type typ struct {
	name   string
	doc    string
	schema apiext.JSONSchemaProps
	fields []field // of structs, in source order, embedded structs flattened
}

type field struct {
	name     string
	doc      string
	required bool
	schema   apiext.JSONSchemaProps
}

func readModel(root string) (*model, error) {
	roots, err := loader.LoadRootsWithConfig(&packages.Config{Dir: root}, apiPackage)
	if err != nil {
		return nil, err
	}
	registry := &markers.Registry{}
	if err := crdmarkers.Register(registry); err != nil {
		return nil, err
	}
	p := &crd.Parser{
		Collector:           &markers.Collector{Registry: registry},
		Checker:             &loader.TypeChecker{NodeFilters: []loader.NodeFilter{crd.Generator{}.CheckFilter()}},
		AllowDangerousTypes: true, // percentages are floats
	}
	crd.AddKnownTypes(p)
	p.NeedPackage(roots[0])
	m := &model{roots: roots, types: map[string]*typ{}, crds: map[string]*apiext.CustomResourceDefinition{}, examples: map[string][]byte{}}
	for _, gk := range crd.FindKubeKinds(p, crd.FindMetav1(roots)) {
		p.NeedCRDFor(gk, nil)
		def := p.CustomResourceDefinitions[gk]
		crd.FixTopLevelMetadata(def)
		m.crds[gk.Kind] = &def
		if slices.Contains(reports, gk.Kind) {
			continue
		}
		m.kinds = append(m.kinds, gk.Kind)
		if err := m.add(p, roots[0], gk.Kind+"Spec"); err != nil {
			return nil, err
		}
		example := filepath.Join(root, "schemas", "testdata", "valid", strings.ToLower(gk.Kind)+".yaml")
		if m.examples[gk.Kind], err = os.ReadFile(example); err != nil {
			return nil, fmt.Errorf("every kind has an example: %w", err)
		}
		m.types[gk.Kind] = &typ{name: gk.Kind, doc: p.LookupType(roots[0], gk.Kind).Doc}
	}
	slices.Sort(m.kinds)
	if loader.PrintErrors(roots, packages.TypeError) {
		return nil, fmt.Errorf("%s has errors", filepath.Join(root, apiPackage))
	}
	return m, nil
}

// add takes a type and all that it refers to.
func (m *model) add(p *crd.Parser, pkg *loader.Package, name string) error {
	if m.types[name] != nil {
		return nil
	}
	id := crd.TypeIdent{Package: pkg, Name: name}
	p.NeedSchemaFor(id)
	schema, info := p.Schemata[id], p.LookupType(pkg, name)
	if info == nil {
		return fmt.Errorf("type %s is not in %s", name, apiPackage)
	}
	t := &typ{name: name, doc: info.Doc, schema: *schema.DeepCopy()}
	m.types[name] = t
	t.schema.AllOf = nil
	for _, f := range info.Fields {
		if err := m.addField(p, pkg, t, f, schema); err != nil {
			return err
		}
	}
	for _, ref := range refs(&schema) {
		if err := m.add(p, pkg, ref); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) addField(p *crd.Parser, pkg *loader.Package, t *typ, f markers.FieldInfo, schema apiext.JSONSchemaProps) error {
	name, _, _ := strings.Cut(reflect.StructTag(f.Tag).Get("json"), ",")
	if name != "" {
		prop, ok := schema.Properties[name]
		if !ok {
			return fmt.Errorf("%s.%s has no schema", t.name, name)
		}
		t.fields = append(t.fields, field{
			name: name, doc: f.Doc, schema: prop,
			required: slices.Contains(schema.Required, name),
		})
		return nil
	}
	embedded := fmt.Sprint(f.RawField.Type)
	if err := m.add(p, pkg, embedded); err != nil {
		return err
	}
	t.fields = append(t.fields, m.types[embedded].fields...)
	return nil
}

// refs are the names of the types that a schema refers to.
func refs(s *apiext.JSONSchemaProps) []string {
	text, _ := json.Marshal(s)
	var found []string
	for _, piece := range strings.Split(string(text), `"$ref":"`)[1:] {
		ref, _, _ := strings.Cut(piece, `"`)
		found = append(found, refName(ref))
	}
	return found
}

// refName is "Name" of "#/definitions/Name" or "#/definitions/package~0Name".
func refName(ref string) string {
	return ref[strings.LastIndexAny(ref, "/~0")+1:]
}

// reachable lists the types below a kind, parents before children.
func (m *model) reachable(kind string) []*typ {
	var list []*typ
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		t := m.types[name]
		if t == nil || seen[name] {
			return
		}
		seen[name] = true
		list = append(list, t)
		for _, f := range t.fields {
			for _, ref := range refs(&f.schema) {
				visit(ref)
			}
		}
		for _, ref := range refs(&t.schema) {
			visit(ref)
		}
	}
	visit(kind + "Spec")
	return list
}

// union is a rule about which of some fields may stand together.
type union struct {
	how    string // "exactly one", "at most one", "at least one"
	fields []string
}

// unions reads the rules that controller-gen writes for ExactlyOneOf,
// AtMostOneOf and AtLeastOneOf. Any other CEL rule is an error, because nothing
// but the API server would follow it.
func unions(s *apiext.JSONSchemaProps) ([]union, error) {
	var list []union
	for _, v := range s.XValidations {
		how, rest, ok := strings.Cut(v.Message, " of the fields in [")
		fields, end, ok2 := strings.Cut(rest, "]")
		if !ok || !ok2 || !slices.Contains([]string{" must be set", " may be set"}, end) {
			return nil, fmt.Errorf("CEL rule %q is no union", v.Rule)
		}
		list = append(list, union{how, strings.Fields(fields)})
	}
	return list, nil
}

// doc joins the lines of a comment into paragraphs.
func doc(text string) string {
	var paragraphs []string
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		paragraphs = append(paragraphs, strings.Join(strings.Fields(p), " "))
	}
	return strings.Join(paragraphs, "\n\n")
}
