package load_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/load/structural"
	"github.com/mesh-compile/mesh-compile/schemas"
)

// TestDifferential writes every fixture of the schemas as CUE, one value a line,
// and demands what the YAML gets: accepted or refused, at the same value.
func TestDifferential(t *testing.T) {
	files, err := filepath.Glob("../../schemas/testdata/*valid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures of the schemas", err)
	}
	for _, name := range files {
		t.Run(strings.TrimPrefix(name, "../../schemas/testdata/"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for i, piece := range strings.Split(string(text), "---\n") {
				compare(t, fmt.Sprintf("%s, document %d", name, i+1), piece)
			}
		})
	}
}

func compare(t *testing.T, at, piece string) {
	t.Helper()
	// Names and namespaces are judged by the loader itself; an ambiguous or
	// doubled value exists in YAML only.
	docs, fromYAML := verdict("a.yaml", piece)
	if len(docs) != 1 || slices.ContainsFunc(fromYAML, func(d diag.Diagnostic) bool {
		return d.Code == load.CodeAmbiguous || d.Code == load.CodeDuplicateKey
	}) {
		return
	}
	w := &cueWriter{}
	w.printf(0, "package p")
	w.printf(0, `import mc "mesh-compile.dev/v1alpha1"`)
	w.line(0, "x: mc.#"+docs[0].Kind+" & ", docs[0].Root, "")
	again, fromCUE := verdict("a.cue", strings.Join(w.lines, "\n")+"\n")
	if fromYAML.HasErrors() != fromCUE.HasErrors() {
		t.Errorf("%s: YAML says %v, CUE says %v", at, said(fromYAML), said(fromCUE))
		return
	}
	if !fromYAML.HasErrors() {
		if len(again) != 1 || !load.Equal(docs[0].Root, again[0].Root) {
			t.Errorf("%s: YAML and CUE load different values", at)
		}
		return
	}
	if !w.meet(fromYAML, fromCUE) {
		t.Errorf("%s: YAML says %v, CUE says %v, nowhere at the same value in\n%s", at, said(fromYAML), said(fromCUE), strings.Join(w.lines, "\n"))
	}
}

func verdict(name, text string) ([]*load.Document, diag.List) {
	res, diags := load.Load(fstest.MapFS{name: {Data: []byte(text)}}, load.Options{Modules: schemas.CUE()})
	for _, d := range res.Documents {
		diags = append(diags, structural.Check(d)...)
	}
	return res.Documents, diags
}

func said(list diag.List) (out []string) {
	for _, d := range list {
		out = append(out, d.Span.String()+": "+d.Message)
	}
	return out
}

// cueWriter writes a value as CUE and remembers where each line came from.
type cueWriter struct {
	lines []string
	from  []string // "line:column" in the YAML of each line's value and key
}

func (w *cueWriter) printf(depth int, text string, from ...string) {
	w.lines = append(w.lines, strings.Repeat("\t", depth)+text)
	w.from = append(w.from, strings.Join(from, " "))
}

func (w *cueWriter) line(depth int, before string, n *load.Node, after string, from ...string) {
	from = append(from, spot(n))
	switch n.Kind {
	case load.Map:
		for _, f := range n.Fields { // the check of a union points at the member too many
			from = append(from, fmt.Sprint(f.KeySpan.Start))
		}
		w.printf(depth, before+"{", from...)
		for _, f := range n.Fields {
			w.line(depth+1, strconv.Quote(f.Key)+": ", f.Value, "", fmt.Sprint(f.KeySpan.Start))
		}
		w.printf(depth, "}"+after)
	case load.List:
		w.printf(depth, before+"[", from...)
		for _, item := range n.Items {
			w.line(depth+1, "", item, ",")
		}
		w.printf(depth, "]"+after)
	case load.String:
		w.printf(depth, before+strconv.Quote(n.Text)+after, from...)
	case load.Null:
		w.printf(depth, before+"null"+after, from...)
	default:
		w.printf(depth, before+n.Text+after, from...)
	}
}

func spot(n *load.Node) string { return fmt.Sprint(n.Span.Start) }

// meet reports whether some finding stands at the same value in both.
func (w *cueWriter) meet(fromYAML, fromCUE diag.List) bool {
	for _, c := range fromCUE {
		places := []int{c.Span.Start.Line}
		for _, r := range c.Related {
			places = append(places, r.Span.Start.Line)
		}
		for _, y := range fromYAML {
			for _, line := range places {
				if strings.Contains(w.from[line-1], fmt.Sprint(y.Span.Start)) {
					return true
				}
			}
		}
	}
	return false
}
