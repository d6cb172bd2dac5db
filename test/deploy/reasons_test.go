package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	reasonUse  = regexp.MustCompile(`v1alpha1\.(Reason[A-Za-z]+)`)
	reasonName = regexp.MustCompile(`(?m)^\t(Reason[A-Za-z]+) +=`)
)

// TestReasonsAreGiven: some role gives each reason of the API.
func TestReasonsAreGiven(t *testing.T) {
	given := map[string]bool{}
	err := filepath.WalkDir(path(t, "controller"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, m := range reasonUse.FindAllSubmatch(text, -1) {
			given[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := reasonName.FindAllSubmatch(read(t, "controller/api/v1alpha1/conditions.go"), -1)
	if len(names) == 0 {
		t.Error("no reason was found")
	}
	for _, m := range names {
		if !given[string(m[1])] {
			t.Errorf("nothing gives the reason %s", m[1])
		}
	}
}
