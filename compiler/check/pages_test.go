package check_test

import (
	"regexp"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

var example = regexp.MustCompile("(?s)(WRONG|RIGHT)\n\n```yaml\n(.*?)```")

// TestPages runs the examples: WRONG has the finding and no other error, RIGHT
// has not.
func TestPages(t *testing.T) {
	for _, page := range check.Pages() {
		t.Run(string(page.Code), func(t *testing.T) {
			t.Parallel()
			examples := example.FindAllStringSubmatch(page.Doc, -1)
			if page.Title == "" || len(examples) != 2 {
				t.Fatalf("title %q and %d examples, want a title and WRONG and RIGHT", page.Title, len(examples))
			}
			wrong, right := findings(t, examples[0][2]), findings(t, examples[1][2])
			is := func(d diag.Diagnostic) bool { return d.Code == page.Code }
			if !slices.ContainsFunc(wrong, is) {
				t.Errorf("WRONG has no such finding, but\n%s", text(wrong))
			}
			if others := slices.DeleteFunc(wrong, is); others.HasErrors() {
				t.Errorf("WRONG has other errors\n%s", text(others))
			}
			if slices.ContainsFunc(right, is) || right.HasErrors() {
				t.Errorf("RIGHT has\n%s", text(right))
			}
		})
	}
}

func findings(t *testing.T, yaml string) diag.List {
	t.Helper()
	files := fstest.MapFS{"example.yaml": {Data: []byte(yaml)}}
	asOf := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	_, diags := check.Run(fragments(t, files), check.Options{AsOf: asOf})
	return diags
}
