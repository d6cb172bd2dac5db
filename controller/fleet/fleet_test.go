package fleet

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
)

var update = flag.Bool("update", false, "rewrite what is wanted")

// now is the time of every fixture.
var now = time.Date(2026, 11, 1, 10, 5, 0, 0, time.UTC)

// objects are what the API server has.
type objects struct {
	Releases []v1alpha1.Release     `json:"releases"`
	Reports  []v1alpha1.FleetReport `json:"reports"`
	Syncs    []v1alpha1.PolicySync  `json:"syncs"`
}

// TestFixtures reads objects and goals (a line each: release and workloads), and
// compares table, summary and verdicts.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := outcome(t, a)
			last := &a.Files[len(a.Files)-1]
			if *update {
				last.Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(last.Data), got); last.Name != "want" || diff != "" {
				t.Errorf("%s (-want +got):\n%s", last.Name, diff)
			}
		})
	}
}

func outcome(t *testing.T, a *txtar.Archive) string {
	var o objects
	var goals string
	for _, f := range a.Files {
		switch f.Name {
		case "objects.yaml":
			if err := yaml.UnmarshalStrict(f.Data, &o); err != nil {
				t.Fatal(err)
			}
		case "goals":
			goals = strings.TrimSpace(string(f.Data))
		}
	}
	f := Of(o.Releases, o.Reports, o.Syncs, now)
	var b bytes.Buffer
	if err := f.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "\n%s\n", f.Summary())
	for line := range strings.SplitSeq(goals, "\n") {
		words := strings.Fields(line)
		v := f.Reached(Goal{Release: words[0], Workloads: words[1:]})
		fmt.Fprintf(&b, "\n%s: reached %t: %s\n", line, v.Reached, v.Progress())
		for _, why := range v.Failed {
			fmt.Fprintf(&b, "\t%s\n", why)
		}
	}
	return b.String()
}

// TestReportOfStrangersWords: what is written must pass the CRD, whatever an agent
// says.
func TestReportOfStrangersWords(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"", "no", strings.Repeat("x", maxText), strings.Repeat("é", maxText), "\x1b[2J\n", strings.Repeat("\U0001F980", maxText) + "the end"} {
		r := Report(deliver.ProxyState{State: deliver.StateRejected, Sequence: 1 << 63, Running: 1<<64 - 1, Error: words, Drift: words})
		for _, got := range []string{r.Error, r.Drift} {
			if len(got) > maxText || !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\n") {
				t.Errorf("%.20q: %d bytes: %q", words, len(got), got)
			}
			if strings.HasSuffix(words, "the end") && !strings.HasSuffix(got, "the end") {
				t.Errorf("the end is cut off: %q", got)
			}
		}
		if r.Sequence <= 0 || r.Rejected <= 0 {
			t.Errorf("sequences %d and %d", r.Sequence, r.Rejected)
		}
	}
}
