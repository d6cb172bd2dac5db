// Package mutate changes valid policy repositories and holds the compiler to what
// it owes any input: an answer, and no configuration that Envoy would refuse.
package mutate_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

var (
	mutations = flag.Int("mutations", 400, "how many changed repositories to compile")
	seed      = flag.Uint64("seed", 1, "of the first; the next have the next")
	validated = flag.Int("validated", 12, "how many accepted ones Envoy validates")
	keep      = flag.String("keep", "", "directory that receives the repositories of failures")
)

// TestMutations compiles repositories with one to three changes each. No change
// may make the compiler panic or find a fault of its own: what it accepts, it can
// generate, and Envoy takes.
func TestMutations(t *testing.T) {
	all, donors := bases(t)
	d := newDonor(donors)
	var accepted []*mutant
	for i := range *mutations {
		m := d.mutant(t, all, *seed+uint64(i))
		m.compile()
		if m.problem != "" {
			t.Errorf("%s: %s", m, m.problem)
			m.store(t)
		} else if m.release != nil {
			accepted = append(accepted, m)
		}
	}
	t.Logf("%d of %d changed repositories compile (seed %d)", len(accepted), *mutations, *seed)
	if len(accepted) < *mutations/20 {
		t.Errorf("only %d are accepted: the changes are too wild to show anything", len(accepted))
	}
	validate(t, d, accepted)
}

// mutant is a changed repository.
type mutant struct {
	base    string
	seed    uint64
	files   fstest.MapFS
	release *artifact.Release
	problem string // what the compiler owes and does not do
}

func (m *mutant) String() string { return fmt.Sprintf("%s, -seed %d", m.base, m.seed) }

func (d *donor) mutant(t *testing.T, all []*repository, seed uint64) *mutant {
	rng := rand.New(rand.NewPCG(seed, 0))
	r := all[rng.IntN(len(all))].clone()
	for range 1 + rng.IntN(3) {
		d.mutate(rng, r)
	}
	return &mutant{base: r.name, seed: seed, files: r.render(t)}
}

func (m *mutant) compile() {
	defer func() {
		if p := recover(); p != nil {
			m.problem = fmt.Sprintf("the compiler panics: %v\n%s", p, debug.Stack())
		}
	}()
	result, diags := compiler.Compile(m.files, compiler.Options{})
	for _, found := range diags {
		switch {
		case found.Code == compiler.CodeInternal:
			m.problem = found.Message
		case found.Severity >= diag.Error && found.Span.File == "":
			m.problem = fmt.Sprintf("no place of the finding %q", found.Message)
		}
	}
	m.release = result.Release
	if m.release == nil && !diags.HasErrors() {
		m.problem = "no release and no error"
	}
}

// store writes the files of a failure, for a closer look.
func (m *mutant) store(t *testing.T) {
	if *keep == "" {
		return
	}
	for name, f := range m.files {
		path := filepath.Join(*keep, fmt.Sprintf("%s-%d", m.base, m.seed), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// validate has Envoy look at slices that no unchanged repository has.
func validate(t *testing.T, d *donor, accepted []*mutant) {
	envoytest.Require(t)
	seen := map[artifact.Digest]bool{}
	done := 0
	for _, m := range accepted {
		for _, leaf := range m.release.Leaves() {
			if seen[leaf.Slice] || done == *validated {
				continue
			}
			seen[leaf.Slice] = true
			done++
			if err := valid(t, m.release, leaf); err != nil {
				t.Errorf("%s: Envoy refuses the slice of %s: %v", m, leaf.Workload, err)
				m.store(t)
			}
			break // the next mutant
		}
	}
}

func valid(t *testing.T, r *artifact.Release, l artifact.Leaf) error {
	t.Helper()
	b, err := meshtest.Static(r, l)
	if err != nil {
		return err
	}
	text, err := xds.JSON(b)
	if err != nil {
		return err
	}
	return envoytest.Validate(t.Context(), text)
}

// TestMutantsAreRepeatable holds failures to their seed.
func TestMutantsAreRepeatable(t *testing.T) {
	all, donors := bases(t)
	d := newDonor(donors)
	one, two := d.mutant(t, all, 7), d.mutant(t, all, 7)
	var texts [2][]string
	for i, m := range []*mutant{one, two} {
		for name, f := range m.files {
			texts[i] = append(texts[i], name+"\n"+string(f.Data))
		}
		slices.Sort(texts[i])
	}
	if strings.Join(texts[0], "") != strings.Join(texts[1], "") {
		t.Error("one seed makes two repositories")
	}
}
