package compiler_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/analyze/passes"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

var update = flag.Bool("update", false, "rewrite docs/reference/diagnostics")

// withoutExample have no policy file that shows them.
var withoutExample = []diag.Code{compiler.CodeInternal, load.CodeRead}

// fenced is a block of code: its language, and the file's name where it is said.
var fenced = regexp.MustCompile("(?s)```(yaml|cue)(?: (\\S+))?\n(.*?)```")

// TestPageExamples compiles the examples of every page: WRONG has the finding and
// no other error, RIGHT has not and no error at all.
func TestPageExamples(t *testing.T) {
	for _, page := range compiler.Pages() {
		t.Run(string(page.Code), func(t *testing.T) {
			t.Parallel()
			if page.Title == "" || strings.Contains(page.Title, "\n") {
				t.Errorf("title %q", page.Title)
			}
			wrong, right := examples(page)
			if slices.Contains(withoutExample, page.Code) {
				return
			}
			if len(wrong) == 0 || len(right) == 0 {
				t.Fatal("no WRONG and RIGHT examples")
			}
			is := func(d diag.Diagnostic) bool { return d.Code == page.Code }
			found := findings(t, page, wrong)
			if i := slices.IndexFunc(found, is); i < 0 {
				t.Errorf("WRONG has no such finding, but\n%s", text(found))
			} else if found[i].Severity != page.Severity {
				t.Errorf("WRONG is of severity %s, the page says %s", found[i].Severity, page.Severity)
			}
			if others := slices.DeleteFunc(slices.Clone(found), is); others.HasErrors() {
				t.Errorf("WRONG has other errors\n%s", text(others))
			}
			if found := findings(t, page, right); found.HasErrors() || slices.ContainsFunc(found, is) {
				t.Errorf("RIGHT has\n%s", text(found))
			}
		})
	}
}

func examples(p diag.Page) (wrong, right fstest.MapFS) {
	_, rest, _ := strings.Cut("\n"+p.Doc, "\nWRONG\n")
	first, second, _ := strings.Cut(rest, "\nRIGHT\n")
	return filesOf(first), filesOf(second)
}

func filesOf(markdown string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, block := range fenced.FindAllStringSubmatch(markdown, -1) {
		name := block[2]
		if name == "" {
			name = "example." + block[1]
		}
		files[name] = &fstest.MapFile{Data: []byte(block[3])}
	}
	return files
}

// findings compiles an example; those of analyzers on the background that their
// own tests use.
func findings(t *testing.T, page diag.Page, files fstest.MapFS) diag.List {
	t.Helper()
	for _, a := range passes.All() {
		if a.Name == page.Code {
			background, err := os.ReadFile("analyze/passes/testdata/shop.yaml")
			if err != nil {
				t.Fatal(err)
			}
			files["shop.yaml"] = &fstest.MapFile{Data: background}
		}
	}
	_, diags := compiler.Compile(files, compiler.Options{LintOnly: true, AsOf: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)})
	return diags
}

func text(l diag.List) string {
	var b bytes.Buffer
	if err := diag.WriteText(&b, l, diag.TextOptions{}); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.String()
}

// TestEveryCodeHasAPage reads the source of the compiler for constants of type
// diag.Code, so that a new one cannot be forgotten.
func TestEveryCodeHasAPage(t *testing.T) {
	var documented []string
	for _, p := range compiler.Pages() {
		documented = append(documented, string(p.Code))
	}
	if unique := slices.Compact(slices.Clone(documented)); len(unique) != len(documented) {
		t.Errorf("a code has two pages: %v", documented)
	}
	codes := codesInSource(t)
	for code, at := range codes {
		if !slices.Contains(documented, code) {
			t.Errorf("%s: code %q has no page", at, code)
		}
	}
	if len(codes) < 20 {
		t.Errorf("only %d codes were found in the source: is this test still looking?", len(codes))
	}
}

func codesInSource(t *testing.T) map[string]token.Position {
	t.Helper()
	codes := map[string]token.Position{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && isCode(spec.Type) {
				for _, v := range spec.Values {
					codes[literal(v)] = set.Position(v.Pos())
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return codes
}

func isCode(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "diag" && s.Sel.Name == "Code"
}

func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return lit.Value
	}
	return text
}

const reference = "../docs/reference/diagnostics"

// TestReference keeps docs/reference/diagnostics equal to what explain prints.
func TestReference(t *testing.T) {
	want := map[string]string{}
	index := generated + "\n\n# Findings\n\nWhat `mesh-compile lint` can say, by code. `mesh-compile explain CODE` prints the\nsame pages.\n\n| Code | Severity | |\n|---|---|---|\n"
	for _, p := range compiler.Pages() {
		want[string(p.Code)+".md"] = fmt.Sprintf("%s\n\n# %s: %s\n\nSeverity: %s\n\n%s\n",
			generated, p.Code, p.Title, p.Severity, strings.TrimSpace(p.Doc))
		index += fmt.Sprintf("| [%s](%s.md) | %s | %s |\n", p.Code, p.Code, p.Severity, p.Title)
	}
	want["README.md"] = index
	if *update {
		rewrite(t, want)
	}
	got := map[string]string{}
	names, _ := filepath.Glob(reference + "/*")
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(name)] = string(data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/reference/diagnostics is stale; run go generate ./compiler:\n%s", diff)
	}
}

const generated = "<!-- Generated by go generate ./compiler. DO NOT EDIT. -->"

func rewrite(t *testing.T, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(reference); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(reference, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(reference, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
