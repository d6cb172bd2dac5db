package structural

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// The messages and positions of Check are held by the fixtures of package
// schemas, which also compares it with CUE.

func document(t testing.TB, text string) *load.Document {
	t.Helper()
	result, _ := load.Load(fstest.MapFS{"f.yaml": {Data: []byte(text)}}, load.Options{})
	if len(result.Documents) != 1 {
		t.Fatalf("%d documents", len(result.Documents))
	}
	return result.Documents[0]
}

func TestSchemaWordsAreFollowed(t *testing.T) {
	text, err := schemas.JSONSchema("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(text); err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{
		`"maxItems": 64`:            `"uniqueItems": true`,      // a word that parse does not know
		`"#/$defs/Duration"`:        `"#/$defs/Durations"`,      // a type that is not there
		`^([0-9]+(ns|us|ms|s|m|h))`: `^([0-9]+(ns|us|ms|s|m|h)`, // no expression
		`"oneOf": [`:                `"oneOf": [{},`,            // no union
	} {
		broken := strings.Replace(string(text), old, new, 1)
		if broken == string(text) {
			t.Errorf("the schema has no %s", old)
		}
		if _, err := parse([]byte(broken)); err == nil {
			t.Errorf("%s in place of %s is accepted", new, old)
		}
	}
}

func TestFindingsAreBounded(t *testing.T) {
	doc := document(t, "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: a}\nspec: {service: a, hosts: ["+
		strings.Repeat("A,", 100_000)+"A]}\n")
	found := Check(doc)
	if len(found) != maxFindings+1 {
		t.Errorf("%d findings, want %d", len(found), maxFindings+1)
	}
}

func TestForeignDocumentsAreNotJudged(t *testing.T) {
	for _, header := range []string{
		"apiVersion: mesh-compile.dev/v1\nkind: MeshRoute",
		"apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoutes",
	} {
		doc := document(t, header+"\nmetadata: {name: a}\nspec: {nonsense: true}\n")
		if Known(doc) || Check(doc) != nil {
			t.Errorf("%s is judged", header)
		}
	}
}

func TestFixReplacesTheWord(t *testing.T) {
	doc := document(t, "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: a}\nspec: {servise: a, service: a, rules: [{name: 1}]}\n")
	found := Check(doc)
	if len(found) != 2 {
		t.Fatalf("%d findings, want 2", len(found))
	}
	for i, want := range []string{"service", `"1"`} {
		if fix := found[i].Fix; fix == nil || len(fix.Edits) != 1 || fix.Edits[0].New != want {
			t.Errorf("fix of %q is %+v, want %s", found[i].Message, fix, want)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	text, err := os.ReadFile("../../../schemas/testdata/valid/meshroute.yaml")
	if err != nil {
		b.Fatal(err)
	}
	doc := document(b, string(text))
	b.ReportAllocs()
	for b.Loop() {
		if Check(doc) != nil {
			b.Fatal("the example has faults")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text, err := schemas.JSONSchema("")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("spec: {service: a, rules: [{name: a, match: [{path: 1}]}]}")
	f.Add("spec: null")
	f.Add("metadata: []\nspec: {rules: {}}")
	f.Fuzz(func(t *testing.T, body string) {
		text := "apiVersion: mesh-compile.dev/v1alpha1\nkind: MeshRoute\n" + body + "\n"
		result, _ := load.Load(fstest.MapFS{"f.yaml": {Data: []byte(text)}}, load.Options{})
		for _, doc := range result.Documents {
			Check(doc)
		}
	})
}
