package schemas_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/encoding/yaml"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/load/structural"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// TestFixtures holds every document of testdata to the comments in it, and the
// three judges to one verdict: the structural check, decoding into the Go
// structs, and the CUE definitions.
func TestFixtures(t *testing.T) {
	files, err := fs.Glob(os.DirFS("testdata"), "*valid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	definitions := compileDefinitions(t, cuecontext.New())
	documents := 0
	for _, name := range files {
		text, err := os.ReadFile(path.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		line := 0
		for piece := range strings.SplitSeq(string(text), "---\n") {
			documents++
			judge(t, name, line, piece, definitions)
			line += strings.Count(piece, "\n") + 1
		}
	}
	if documents < 100 {
		t.Errorf("%d documents: the fixtures were not read as meant", documents)
	}
}

// judge asks all three about one document. The piece's lines follow offset.
func judge(t *testing.T, name string, offset int, piece string, definitions cue.Value) {
	t.Helper()
	at := name + ":" + strconv.Itoa(offset+1)
	doc, diags := read(t, at, piece)
	found := structural.Check(doc)
	decoded := load.Decode(doc.Root.Get("spec"), specOf(doc.Kind), doc.Object())
	if len(found) == 0 && len(decoded) > 0 {
		t.Errorf("%s: the schema has no objection, the Go struct has: %v", at, messages(decoded))
	}
	diags = append(diags, found...)
	expect(t, name, offset, piece, diags)

	err := validate(definitions, doc.Kind, piece)
	cueAccepts := err == nil
	goAccepts := len(diags) == 0 || strings.Contains(piece, "# cue: accepts\n")
	if cueAccepts != goAccepts {
		t.Errorf("%s: Go says %v, CUE says %v", at, messages(diags), err)
	}
	if strings.Contains(piece, "# cue: accepts\n") && strings.HasPrefix(name, "valid/") {
		t.Errorf("%s: a valid document needs no exception", at)
	}
}

func read(t *testing.T, at, piece string) (*load.Document, diag.List) {
	t.Helper()
	result, diags := load.Load(fstest.MapFS{"f.yaml": {Data: []byte(piece)}}, load.Options{})
	if len(result.Documents) != 1 {
		t.Fatalf("%s: %d documents: %v", at, len(result.Documents), messages(diags))
	}
	return result.Documents[0], diags
}

func specOf(kind string) any {
	for _, k := range v1alpha1.Kinds() {
		if k.Kind == kind {
			return specPointer(k.New())
		}
	}
	return nil
}

var wantComment = regexp.MustCompile("# want `(.*)`")

// expect compares findings with the want comments: one finding for each comment,
// on its line.
func expect(t *testing.T, name string, offset int, piece string, diags diag.List) {
	t.Helper()
	wants := map[int]*regexp.Regexp{}
	for i, text := range strings.Split(piece, "\n") {
		if m := wantComment.FindStringSubmatch(text); m != nil {
			wants[i+1] = regexp.MustCompile(m[1])
		}
	}
	for i := range diags {
		line := diags[i].Span.Start.Line
		if w := wants[line]; w == nil || !w.MatchString(diags[i].Message) {
			t.Errorf("%s:%d: unexpected: %s", name, offset+line, diags[i].Message)
		}
		delete(wants, line)
	}
	for line, w := range wants {
		t.Errorf("%s:%d: no finding that matches %q", name, offset+line, w)
	}
}

func messages(diags diag.List) []string {
	var list []string
	for i := range diags {
		list = append(list, diags[i].Message)
	}
	return list
}

func compileDefinitions(t *testing.T, ctx *cue.Context) cue.Value {
	t.Helper()
	text, err := fs.ReadFile(schemas.CUE(), "v1alpha1/v1alpha1.cue")
	if err != nil {
		t.Fatal(err)
	}
	v := ctx.CompileBytes(text, cue.Filename("v1alpha1.cue"))
	if v.Err() != nil {
		t.Fatal(v.Err())
	}
	return v
}

func validate(definitions cue.Value, kind, text string) error {
	file, err := yaml.Extract("f.yaml", text)
	if err != nil {
		return err
	}
	v := cuecontext.New().BuildFile(file)
	schema := definitions.LookupPath(cue.MakePath(cue.Def(kind)))
	return schema.Unify(v).Validate(cue.Concrete(true), cue.Final())
}
