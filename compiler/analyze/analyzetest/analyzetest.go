// Package analyzetest runs an analyzer over policy files that say themselves
// what it must find.
//
// In: a directory of fixtures, one directory each, and a function that compiles
// files up to the checked mesh. A line with a fault ends in
//
//	# want "regular expression" "another"
//
// in YAML ("// want" in CUE); lines without are the accepted neighbours. Every
// witness is put to the evaluator, which must confirm it. A fixture with a
// directory "fixed" beside its files is the result of applying all edits.
package analyzetest

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/analyze"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
)

var update = flag.Bool("update", false, "rewrite the fixed files")

// Compile turns files into a checked mesh. Its findings of error or above fail
// the fixture.
type Compile = func(fs.FS) (*check.Mesh, diag.List)

// Run judges each directory below dir.
func Run(t *testing.T, dir string, compile Compile, a *analyze.Analyzer) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Run(e.Name(), func(t *testing.T) { fixture(t, filepath.Join(dir, e.Name()), compile, a) })
		}
	}
}

func fixture(t *testing.T, dir string, compile Compile, a *analyze.Analyzer) {
	files := os.DirFS(dir)
	m, diags := compile(without(files, "fixed"))
	if diags.HasErrors() {
		t.Fatalf("the fixture is wrong before it is analyzed:\n%s", Text(diags))
	}
	found, _ := analyze.Run(m, []*analyze.Analyzer{a}, analyze.Options{})
	compare(t, wanted(t, files), found)
	for i := range found {
		if err := Confirm(m, &found[i]); err != nil {
			t.Errorf("%s: %v", found[i].Span, err)
		}
	}
	fixes(t, dir, found)
}

// without hides a directory.
func without(files fs.FS, dir string) fs.FS { return hidden{files, dir} }

type hidden struct {
	fs.FS
	dir string
}

func (h hidden) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(h.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return name == "." && e.Name() == h.dir }), err
}

// want is an expectation beside a line.
type want struct {
	place   string // file:line
	pattern *regexp.Regexp
	met     bool
}

var (
	wantComment = regexp.MustCompile(`(?:#|//) want ((?:"(?:[^"\\]|\\.)*"\s*)+)$`)
	quoted      = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
)

func wanted(t *testing.T, files fs.FS) []*want {
	t.Helper()
	var out []*want
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		for i, line := range strings.Split(string(data), "\n") {
			out = append(out, wantedOf(t, fmt.Sprintf("%s:%d", path, i+1), line)...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantedOf(t *testing.T, place, line string) []*want {
	t.Helper()
	comment := wantComment.FindStringSubmatch(strings.TrimRight(line, " \r"))
	if comment == nil {
		return nil
	}
	var out []*want
	for _, q := range quoted.FindAllString(comment[1], -1) {
		pattern, err := strconv.Unquote(q)
		if err != nil {
			t.Fatalf("%s: want %s: %v", place, q, err)
		}
		out = append(out, &want{place: place, pattern: regexp.MustCompile(pattern)})
	}
	return out
}

func compare(t *testing.T, wants []*want, found diag.List) {
	t.Helper()
	for i := range found {
		d := &found[i]
		place := fmt.Sprintf("%s:%d", d.Span.File, d.Span.Start.Line)
		k := slices.IndexFunc(wants, func(w *want) bool { return !w.met && w.place == place && w.pattern.MatchString(d.Message) })
		if k < 0 {
			t.Errorf("%s: unexpected: %s", place, d.Message)
			continue
		}
		wants[k].met = true
	}
	for _, w := range wants {
		if !w.met {
			t.Errorf("%s: no finding matches %q", w.place, w.pattern)
		}
	}
}

// Confirm puts a finding's witness to the evaluator and compares what the
// evaluator can know: route, access and its rule, and the status that does not
// depend on the upstream.
func Confirm(m *check.Mesh, d *diag.Diagnostic) error {
	if d.Witness == nil || d.Witness.Expect == nil {
		return nil
	}
	got, err := reach.Evaluate(m, analyze.Request(d.Witness))
	if err != nil {
		return fmt.Errorf("witness %s: %w", d.Witness, err)
	}
	want, have := *d.Witness.Expect, diag.WitnessExpect{Access: string(got.Access.Decision), Status: got.Status}
	if got.Route.Rule != nil {
		have.Route = got.Route.Rule.ID
	}
	if got.Access.Rule != nil {
		have.Rule = got.Access.Rule.ID
	}
	slow := want.UpstreamDelay != "" || want.UpstreamStatus != 0
	switch {
	case want.Route != "" && want.Route != have.Route,
		want.Access != "" && want.Access != have.Access,
		want.Rule != "" && want.Rule != have.Rule,
		want.Status != 0 && !slow && want.Status != have.Status,
		want.Tries > got.Route.Retries+1:
		return fmt.Errorf("witness %s: want %+v, the evaluator says %+v", d.Witness, want, have)
	}
	return nil
}

// fixes applies the edits and compares with the directory "fixed".
func fixes(t *testing.T, dir string, found diag.List) {
	t.Helper()
	edited := map[string]string{}
	for i := range found {
		if found[i].Fix == nil {
			continue
		}
		for _, e := range slices.Backward(found[i].Fix.Edits) {
			text, ok := edited[e.Span.File]
			if !ok {
				data, err := os.ReadFile(filepath.Join(dir, e.Span.File))
				if err != nil {
					t.Fatal(err)
				}
				text = string(data)
			}
			edited[e.Span.File] = text[:offset(text, e.Span.Start.Line, e.Span.Start.Column)] +
				e.New + text[offset(text, e.Span.End.Line, e.Span.End.Column):]
		}
	}
	for name, got := range edited {
		golden := filepath.Join(dir, "fixed", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err == nil {
				err = os.WriteFile(golden, []byte(got), 0o644)
				if err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s fixed (-want +got, rewrite with -update):\n%s", name, diff)
		}
	}
}

// offset of a line and column, which count from 1.
func offset(text string, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(text[at:], '\n')
		if next < 0 {
			return len(text)
		}
		at += next + 1
	}
	return min(len(text), at+column-1)
}

// Text is a list for failure messages.
func Text(diags diag.List) string {
	var b strings.Builder
	for i := range diags {
		d := &diags[i]
		fmt.Fprintf(&b, "%s: %s: %s [%s]\n", d.Span, d.Severity, d.Message, d.Code)
		if d.Witness != nil {
			fmt.Fprintf(&b, "\twitness: %s\n", d.Witness)
		}
	}
	return b.String()
}
