// Package corpus compiles a directory of real repositories, which the environment
// variable CORPUS names: each file alone and each repository as a whole. What is
// wrong with them stands in a golden file with a reason for each error, so that an
// error which is not true is seen in review. Slices go through Envoy's validation.
//
// The golden file has names, places and messages; nothing else of the corpus is
// copied into this repository.
package corpus

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

var update = flag.Bool("update", false, "rewrite the golden file")

const golden = "testdata/golden.txt"

// unit is what is compiled together.
type unit struct {
	name  string // a file or directory of the corpus
	whole bool   // a repository, whose documents may have each other in sight
	files fstest.MapFS
}

func TestCorpus(t *testing.T) {
	var r report
	for _, u := range slices.Concat(files(t), repositories(t)) {
		_, found := u.compile(t, nil)
		r.add(t, u, found)
	}
	r.checkReasons(t)
	got := r.text()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); -update rewrites it:\n%s", golden, diff)
	}
}

// compile compiles the unit, with further files where given. A panic fails the
// test and names the unit.
func (u unit) compile(t *testing.T, extra fstest.MapFS) (result *compiler.Result, found diag.List) {
	t.Helper()
	defer func() {
		if cause := recover(); cause != nil {
			t.Errorf("compiling %s: panic: %v\n%s", u.name, cause, debug.Stack())
		}
	}()
	fsys := fstest.MapFS{}
	for _, from := range []fstest.MapFS{u.files, extra} {
		for name, file := range from {
			fsys[name] = file
		}
	}
	result, found = compiler.Compile(fsys, compiler.Options{AssumeExternal: u.fragment()})
	for _, d := range found {
		if d.Code == compiler.CodeInternal {
			t.Errorf("compiling %s: %s: %s", u.name, d.Span, d.Message)
		}
	}
	return result, found
}

// fragment reports whether the services that a unit names may be elsewhere: it is
// one file, or a repository without services.
func (u unit) fragment() bool {
	if !u.whole {
		return true
	}
	for _, file := range u.files {
		for line := range strings.Lines(string(file.Data)) {
			if strings.TrimRight(line, " \r\n") == "kind: Service" {
				return false
			}
		}
	}
	return true
}

// corpus reads the corpus, or skips the test.
func corpus(t *testing.T) fstest.MapFS {
	t.Helper()
	dir := os.Getenv("CORPUS")
	if dir == "" {
		t.Skip("CORPUS names no directory of real repositories")
	}
	root, all := os.DirFS(dir), fstest.MapFS{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.Contains(name, "/") {
			return err
		}
		data, err := fs.ReadFile(root, name)
		all[name] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("no files in %s", dir)
	}
	return all
}

func files(t *testing.T) []unit {
	var out []unit
	for name, file := range corpus(t) {
		out = append(out, unit{name: name, files: fstest.MapFS{name: file}})
	}
	return sorted(out)
}

// repositories are the directories CLASS/REPOSITORY. Files keep their names.
func repositories(t *testing.T) []unit {
	return grouped(corpus(t), func(name string) []string {
		parts := strings.SplitN(name, "/", 3)
		if len(parts) < 3 {
			return nil
		}
		return []string{path.Join(parts[:2]...)}
	})
}

// directories are those below the repositories, each with what is in and below it.
func directories(t *testing.T) []unit {
	return grouped(corpus(t), func(name string) []string {
		var above []string
		for dir := path.Dir(name); strings.Count(dir, "/") > 1; dir = path.Dir(dir) {
			above = append(above, dir)
		}
		return above
	})
}

func grouped(all fstest.MapFS, groups func(name string) []string) []unit {
	by := map[string]fstest.MapFS{}
	for name, file := range all {
		for _, g := range groups(name) {
			if by[g] == nil {
				by[g] = fstest.MapFS{}
			}
			by[g][name] = file
		}
	}
	var out []unit
	for name, group := range by {
		out = append(out, unit{name: name, whole: true, files: group})
	}
	return sorted(out)
}

func sorted(units []unit) []unit {
	slices.SortFunc(units, func(a, b unit) int { return strings.Compare(a.name, b.name) })
	return units
}

// place is where a finding stands, without its file.
func place(d *diag.Diagnostic) string {
	return fmt.Sprintf("%d:%d", d.Span.Start.Line, d.Span.Start.Column)
}
