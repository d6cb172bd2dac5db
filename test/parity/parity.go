// Package parity reads the fixtures that show what the compiler finds as objects of a
// cluster: one object with findings over a mesh without.
//
// In go the analyzers' fixtures and the examples of the reference pages; out come cases,
// each with what lint says of it. Tests ask the webhook and the reconciler about the same
// and compare.
package parity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Case is an object over a mesh, and what lint finds in both together.
type Case struct {
	Name   string
	Mesh   []Document // without a finding
	Object Document
	Found  diag.List // all of them about Object or because of it
}

// Document is an object of a cluster as somebody wrote it.
type Document struct {
	Text   string
	Object *unstructured.Unstructured
}

// ID is what a diagnostic calls the object: "Kind namespace/name".
func (d Document) ID() string {
	name := d.Object.GetName()
	if namespace := d.Object.GetNamespace(); namespace != "" {
		name = namespace + "/" + name
	}
	return d.Object.GetKind() + " " + name
}

// Files is the case as a policy repository, a file a document.
func (c Case) Files() map[string]string {
	out := map[string]string{}
	for i, d := range append(slices.Clone(c.Mesh), c.Object) {
		out[fmt.Sprintf("%02d.yaml", i)] = d.Text
	}
	return out
}

// Codes of findings, sorted, those below errors with a question mark.
func Codes(found diag.List) []string {
	out := []string{}
	for _, d := range found {
		code := string(d.Code)
		if d.Severity < diag.Error {
			code += "?"
		}
		out = append(out, code)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Refused reports whether a finding keeps the object out of the cluster: an error that no
// later object cures.
func (c Case) Refused() bool {
	return slices.ContainsFunc(c.Found, func(d diag.Diagnostic) bool { return d.Severity >= diag.Error && !compiler.Curable(d.Code) })
}

// Cases reads all fixtures below the root of the module. Documents that are no objects of a
// cluster (CUE, YAML that does not parse, kinds that are files only) make none.
func Cases(root string) ([]Case, error) {
	background, err := os.ReadFile(filepath.Join(root, "compiler", "analyze", "passes", "testdata", "shop.yaml"))
	if err != nil {
		return nil, err
	}
	var out []Case
	dirs, err := filepath.Glob(filepath.Join(root, "compiler", "analyze", "passes", "*", "testdata", "*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		text, err := concat(os.DirFS(dir))
		if err != nil {
			return nil, err
		}
		name := filepath.Base(filepath.Dir(filepath.Dir(dir))) + "/" + filepath.Base(dir)
		out = append(out, cases(name, string(background)+"\n---\n"+text)...)
	}
	for _, page := range compiler.Pages() {
		text := wrong(page)
		if page.Severity >= diag.Warning && slices.ContainsFunc(dirs, func(d string) bool { return strings.Contains(d, "/"+string(page.Code)+"/testdata/") }) {
			text = string(background) + "\n---\n" + text // as its own test does
		}
		out = append(out, cases("page/"+string(page.Code), text)...)
	}
	return out, nil
}

// concat is the YAML of a directory, without what its fixes should give.
func concat(files fs.FS) (string, error) {
	var b strings.Builder
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && path == "fixed" {
			return errors.Join(err, fs.SkipDir)
		}
		if filepath.Ext(path) != ".yaml" {
			return nil
		}
		data, err := fs.ReadFile(files, path)
		b.WriteString("\n---\n" + string(data))
		return err
	})
	return b.String(), err
}

// wrong is the YAML of a page's WRONG example.
func wrong(p diag.Page) string {
	_, rest, _ := strings.Cut("\n"+p.Doc, "\nWRONG\n")
	rest, _, _ = strings.Cut(rest, "\nRIGHT\n")
	var b strings.Builder
	for _, block := range strings.Split(rest, "```yaml")[1:] {
		_, block, _ = strings.Cut(block, "\n") // a file's name
		block, _, _ = strings.Cut(block, "```")
		b.WriteString("\n---\n" + block)
	}
	return b.String()
}

// cases makes one of each object that has findings, over those that have none.
func cases(name, text string) []Case {
	documents, err := split(text)
	if err != nil || len(documents) == 0 {
		return nil
	}
	blamed := map[string]bool{}
	for _, d := range warned(Lint(documents)) {
		blamed[d.Object] = true
	}
	mesh := slices.DeleteFunc(slices.Clone(documents), func(d Document) bool { return blamed[d.ID()] })
	if len(warned(Lint(mesh))) > 0 {
		return nil // what is wrong is not one object
	}
	var out []Case
	for _, d := range documents {
		if found := Lint(append(slices.Clone(mesh), d)); blamed[d.ID()] && len(warned(found)) > 0 {
			out = append(out, Case{Name: name + "/" + strings.ReplaceAll(d.ID(), "/", "."), Mesh: mesh, Object: d, Found: found})
		}
	}
	return out
}

// Lint says what the compiler finds in documents.
func Lint(documents []Document) diag.List {
	files := fstest.MapFS{}
	for i, d := range documents {
		files[fmt.Sprintf("%02d.yaml", i)] = &fstest.MapFile{Data: []byte(d.Text)}
	}
	_, found := compiler.Compile(files, compiler.Options{LintOnly: true, AsOf: time.Now()})
	return found
}

func warned(found diag.List) diag.List {
	return slices.DeleteFunc(slices.Clone(found), func(d diag.Diagnostic) bool { return d.Severity < diag.Warning })
}

// split reads the documents of a YAML stream that are objects of a cluster; an error where
// one is not.
func split(text string) ([]Document, error) {
	var out []Document
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		d, err := document(&node)
		if err != nil {
			return nil, err
		}
		if d.Object != nil {
			out = append(out, d)
		}
	}
}

func document(node *yaml.Node) (Document, error) {
	if node.Kind == 0 || len(node.Content) == 0 || node.Content[0].Kind == yaml.ScalarNode {
		return Document{}, nil // a comment
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	if err := encoder.Encode(node); err != nil {
		return Document{}, err
	}
	d := Document{Text: b.String(), Object: &unstructured.Unstructured{}}
	if err := sigsyaml.UnmarshalStrict(b.Bytes(), &d.Object.Object); err != nil {
		return Document{}, err
	}
	gvk := d.Object.GroupVersionKind()
	k, known := objects.KindOf(gvk.Group, gvk.Kind)
	if !known || k.Translated && !slices.Contains(k.Versions, gvk.Version) || d.Object.GetName() == "" {
		return Document{}, fmt.Errorf("%s is no object of a cluster that the compiler reads", d.ID())
	}
	return d, nil
}
