package schemas_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	cuejson "cuelang.org/go/encoding/json"
	"cuelang.org/go/encoding/jsonschema"
	"cuelang.org/go/encoding/yaml"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// TestJSONSchema asks a reader of JSON Schema that is not ours about every
// fixture. Editors see unions, so it accepts less than the CUE definitions; a
// key that stands twice in a list is all that it cannot know.
func TestJSONSchema(t *testing.T) {
	for _, k := range v1alpha1.Kinds() {
		schema := extract(t, k.Kind)
		files, _ := filepath.Glob("testdata/*valid/*.yaml")
		for _, name := range files {
			for piece := range strings.SplitSeq(readFile(t, name), "---\n") {
				if !strings.Contains(piece, "\nkind: "+k.Kind+"\n") {
					continue
				}
				file, err := yaml.Extract(name, piece)
				if err != nil {
					t.Fatal(err)
				}
				err = schema.Unify(cuecontext.New().BuildFile(file)).Validate(cue.Concrete(true), cue.Final())
				want := strings.Contains(name, string(os.PathSeparator)+"valid") || strings.Contains(piece, "twice`")
				if (err == nil) != want {
					t.Errorf("%s: valid is %v, JSON Schema says %v:\n%s", name, want, err, piece)
				}
			}
		}
	}
}

func extract(t *testing.T, kind string) cue.Value {
	t.Helper()
	text, err := schemas.JSONSchema(kind)
	if err != nil {
		t.Fatal(err)
	}
	expr, err := cuejson.Extract(kind, text)
	if err != nil {
		t.Fatal(err)
	}
	ctx := cuecontext.New()
	file, err := jsonschema.Extract(ctx.BuildExpr(expr), &jsonschema.Config{ID: fmt.Sprintf("https://mesh-compile.dev/%s", kind), Strict: false})
	if err != nil {
		t.Fatalf("JSON Schema of %s: %v", kind, err)
	}
	v := ctx.BuildFile(file)
	if v.Err() != nil {
		t.Fatalf("JSON Schema of %s: %v", kind, v.Err())
	}
	return v
}
