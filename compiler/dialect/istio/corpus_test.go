package istio

import (
	"os"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// TestCorpus translates the documents of real repositories, which the
// environment variable CORPUS names: every finding has a place and names its
// document. Verbose output lists the findings.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("CORPUS")
	if dir == "" {
		t.Skip("CORPUS names no directory of policy repositories")
	}
	result, _ := load.Load(os.DirFS(dir), load.Options{})
	table, read := Translators(), 0
	for _, doc := range result.Documents {
		translate := table[doc.APIVersion+" "+doc.Kind]
		if translate == nil {
			continue
		}
		read++
		fragment, diags := translate(doc)
		if fragment == nil {
			t.Errorf("%s: %s: no fragment", doc.Span, doc.Object())
		}
		for _, d := range diags {
			if !d.Span.IsValid() || d.Object == "" {
				t.Errorf("%s: %q has no place or document", doc.Span, d.Message)
			}
			t.Logf("%s: %s: %s [%s]", d.Span, d.Severity, d.Message, d.Code)
		}
	}
	if read == 0 {
		t.Errorf("no document of Istio in %s", dir)
	}
	t.Logf("%d documents", read)
}
