package floor_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/admission/floor"
)

// TestFixtures: lint refuses what breaks each rule, with its code, and not the
// neighbour; rules and fixtures are one to one. That the API server does the
// same is tested in test/deploy.
func TestFixtures(t *testing.T) {
	for _, p := range floor.Policies() {
		name := p.Kinds[0].Resource
		if len(p.Kinds) > 1 {
			name = "untranslated"
		}
		documents := read(t, name)
		for i, r := range p.Rules {
			for _, word := range []string{"bad", "good"} {
				fixture := fmt.Sprintf("%s-%d", word, i+1)
				found := slices.IndexFunc(documents, func(d document) bool { return d.Metadata.Name == fixture })
				if found < 0 {
					t.Errorf("testdata/%s.yaml has no %s, for %s: %s", name, fixture, r.Code, r.Bad)
					continue
				}
				codes := lint(t, documents[found])
				if word == "bad" && !slices.Contains(codes, r.Code) || word == "good" && len(codes) > 0 {
					t.Errorf("%s %s: lint finds %q, and the rule is about %s", name, fixture, codes, r.Code)
				}
			}
		}
	}
}

type document struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	text     string
}

func read(t *testing.T, name string) []document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var out []document
	for _, one := range strings.Split(string(text), "---\n") {
		d := document{text: one}
		if err := yaml.Unmarshal([]byte(one), &d); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, one)
		}
		out = append(out, d)
	}
	return out
}

// lint returns the codes of the errors in a document over the base.
func lint(t *testing.T, d document) []diag.Code {
	t.Helper()
	base, err := os.ReadFile("testdata/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if d.Kind == "TrafficPolicy" || d.Kind == "DestinationRule" { // the base's would be a second one
		base, _, _ = bytes.Cut(base, []byte("---\napiVersion: mesh-compile.dev/v1alpha1\nkind: TrafficPolicy"))
	}
	_, found := compiler.Compile(fstest.MapFS{"base.yaml": {Data: base}, "fixture.yaml": {Data: []byte(d.text)}}, compiler.Options{LintOnly: true})
	var codes []diag.Code
	for _, f := range found {
		if f.Severity >= diag.Error && f.Span.File == "fixture.yaml" {
			codes = append(codes, f.Code)
		}
	}
	return codes
}
