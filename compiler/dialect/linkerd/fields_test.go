package linkerd

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
)

// TestFields compares table fields with the list of the fields that Linkerd's CRDs
// have (charts/linkerd-crds of linkerd2, written down in testdata/crds.txt): none is
// left out, and none is invented. A field that is refused hides what is below it.
func TestFields(t *testing.T) {
	data, err := os.ReadFile("testdata/crds.txt")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !belowRefused(line) {
			want = append(want, line)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		walk(kind, kind, &got)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("testdata/crds.txt and table fields (-CRDs +table):\n%s", diff)
	}
}

// walk lists the paths of fields below an object.
func walk(path, object string, out *[]string) {
	for name, f := range fields[object] {
		*out = append(*out, path+"."+name)
		if holds, _ := f.item(); fields[holds] != nil && holds != object {
			walk(path+"."+name, holds, out)
		}
	}
}

func belowRefused(path string) bool {
	parts := strings.Split(path, ".")
	object := parts[0]
	for i, name := range parts[1:] {
		f, ok := fields[object][name]
		if ok && f.refuses != "" {
			return i < len(parts)-2
		}
		object, _ = f.item()
	}
	return false
}

// TestEveryFieldIsRead demands that the translators name each field that the table
// says they read: one that they forgot would be dropped in silence.
func TestEveryFieldIsRead(t *testing.T) {
	code := dialecttest.Code(t)
	for object, of := range fields {
		for name, f := range of {
			if f.refuses == "" && !strings.Contains(code, strconv.Quote(name)) {
				t.Errorf("no translator reads %s.%s", object, name)
			}
		}
	}
}

// TestStatusPage holds docs/status.md and docs/linkerd.md to the tables: who plans a
// migration reads there what is refused.
func TestStatusPage(t *testing.T) {
	status, err := os.ReadFile("../../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	for object, of := range fields {
		for name, f := range of {
			if f.refuses != "" && !strings.Contains(string(status), "`"+name+"`") {
				t.Errorf("docs/status.md does not say that %s.%s is refused", object, name)
			}
		}
	}
	page, err := os.ReadFile("../../../docs/linkerd.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range annotations {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/linkerd.md does not name the annotation %s", name)
		}
	}
	for kind := range kinds {
		if !strings.Contains(string(status), kind) {
			t.Errorf("docs/status.md does not name %s", kind)
		}
	}
}
