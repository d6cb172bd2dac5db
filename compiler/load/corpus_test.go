package load_test

import (
	"os"
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// TestCorpus loads a directory of real repositories, named by CORPUS: no crash,
// and what is said is printed with -v, to be judged by a person.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("CORPUS")
	if dir == "" {
		t.Skip("CORPUS names no directory of real repositories")
	}
	groups := func(group, kind string) load.Reading {
		for _, suffix := range []string{"istio.io", "linkerd.io", "gateway.networking.k8s.io", "mesh-compile.dev"} {
			if strings.HasSuffix(group, suffix) {
				return load.Reading{Read: true, Strict: true}
			}
		}
		return testGroups(group, kind)
	}
	res, diags := load.Load(os.DirFS(dir), load.Options{Groups: groups, Modules: schemas.CUE()})
	t.Logf("%d files, %d documents, %d foreign, %d diagnostics", len(res.Files), len(res.Documents), len(res.Foreign), len(diags))
	for _, d := range diags {
		t.Logf("%s: %s: %s [%s]", d.Span, d.Severity, d.Message, d.Code)
	}
	if len(res.Documents) == 0 {
		t.Errorf("no documents in %s", dir)
	}
}
