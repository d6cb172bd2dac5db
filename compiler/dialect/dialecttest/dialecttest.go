// Package dialecttest runs the fixtures of the translators.
//
// In: files that a user could have written. Golden compares the fragment and the
// diagnostics of a txtar archive; Wrong looks for "# want" beside each fault.
package dialecttest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

var update = flag.Bool("update", false, "rewrite the golden parts of the fixtures")

// Translate is the function under test.
type Translate = func(doc *load.Document) (*mesh.Fragment, diag.List)

// ByKind looks a document's translator up, as package dialect does.
func ByKind(table map[string]func(*load.Document) (*mesh.Fragment, diag.List)) Translate {
	return func(doc *load.Document) (*mesh.Fragment, diag.List) {
		if t, ok := table[doc.APIVersion+" "+doc.Kind]; ok {
			return t(doc)
		}
		return &mesh.Fragment{}, nil
	}
}

// Golden translates the YAML files of each archive and compares its files
// "fragment" (JSON without zero values) and "diagnostics".
func Golden(t *testing.T, pattern string, translate Translate) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixture at %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			golden(t, file, translate)
		})
	}
}

func golden(t *testing.T, file string, translate Translate) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	input, want := fstest.MapFS{}, map[string]string{}
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		if f.Name == "fragment" || f.Name == "diagnostics" {
			want[f.Name] = string(f.Data)
			continue
		}
		input[f.Name] = &fstest.MapFile{Data: f.Data}
		out.Files = append(out.Files, f)
	}
	fragment, diags := run(input, translate)
	got := map[string]string{"fragment": dump(fragment), "diagnostics": text(diags)}
	if *update {
		for _, name := range []string{"fragment", "diagnostics"} {
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(got[name])})
		}
		if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got, rewrite with -update)\n%s", diff)
	}
}

// Fuzz translates what the fuzzer makes of the fixtures' documents: a translator
// neither panics, nor returns no fragment, nor answers twice differently.
func Fuzz(f *testing.F, translate Translate, patterns ...string) {
	for _, pattern := range patterns {
		for _, seed := range seeds(f, pattern) {
			f.Add(seed)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		input := fstest.MapFS{"in.yaml": {Data: data}}
		first, diags := run(input, translate)
		second, again := run(input, translate)
		if diff := cmp.Diff(dump(first)+text(diags), dump(second)+text(again)); diff != "" {
			t.Errorf("two runs differ:\n%s", diff)
		}
	})
}

// seeds are the YAML files and archive members that pattern names.
func seeds(f *testing.F, pattern string) [][]byte {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		f.Fatalf("no seed at %s: %v", pattern, err)
	}
	var all [][]byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if filepath.Ext(file) != ".txtar" {
			all = append(all, data)
			continue
		}
		for _, member := range txtar.Parse(data).Files {
			if filepath.Ext(member.Name) == ".yaml" {
				all = append(all, member.Data)
			}
		}
	}
	return all
}

// run translates every document into one fragment.
func run(input fstest.MapFS, translate Translate) (*mesh.Fragment, diag.List) {
	result, diags := load.Load(input, load.Options{DefaultNamespace: "default", Groups: reading})
	sum := &mesh.Fragment{}
	for _, doc := range result.Documents {
		fragment, found := translate(doc)
		diags = append(diags, found...)
		add(sum, fragment)
	}
	diags.Sort()
	return sum, diags
}

// reading is package dialect's, which cannot be imported here.
func reading(group, kind string) load.Reading {
	return load.Reading{Read: true, Strict: strings.Contains(group, "."), Cluster: kind == "Mesh" || kind == "Namespace"}
}

// add appends every list of b to a's.
func add(a, b *mesh.Fragment) {
	into, from := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range into.NumField() {
		into.Field(i).Set(reflect.AppendSlice(into.Field(i), from.Field(i)))
	}
}

func text(diags diag.List) string {
	var b strings.Builder
	for _, d := range diags {
		fmt.Fprintf(&b, "%s: %s: %s [%s]\n", d.Span, d.Severity, d.Message, d.Code)
		for _, r := range d.Related {
			fmt.Fprintf(&b, "\t%s: %s\n", r.Span, r.Message)
		}
		if d.Fix != nil {
			fmt.Fprintf(&b, "\tfix: %s\n", d.Fix.Message)
		}
	}
	return b.String()
}

func dump(fragment *mesh.Fragment) string {
	b, err := json.MarshalIndent(plain(reflect.ValueOf(fragment)), "", "\t")
	if err != nil {
		return err.Error()
	}
	return string(b) + "\n"
}

// plain turns v into maps and lists without zero fields; what a pointer names is
// kept, zero or not.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case source.Span:
		return x.String()
	case time.Duration:
		return x.String()
	case time.Time:
		return x.Format(time.RFC3339)
	case mesh.MatchKind:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return plain(v.Elem())
	case reflect.Struct:
		return fields(v)
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return list
	case reflect.Map:
		object := map[string]any{}
		for _, k := range v.MapKeys() {
			object[fmt.Sprint(k.Interface())] = plain(v.MapIndex(k))
		}
		return object
	}
	return v.Interface()
}

func fields(v reflect.Value) map[string]any {
	object := map[string]any{}
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			object[v.Type().Field(i).Name] = plain(f)
		}
	}
	return object
}

// want is `# want "pattern" "pattern"` at the end of a faulty line.
var (
	want    = regexp.MustCompile(`# want (.*)$`)
	pattern = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")
)

// Wrong translates each YAML file and demands exactly the diagnostics that its
// comments announce: each pattern is a regular expression over "message [code]".
func Wrong(t *testing.T, glob string, translate Translate) {
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixture at %s: %v", glob, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, diags := run(fstest.MapFS{"in.yaml": {Data: data}}, translate)
			compare(t, file, announced(t, string(data)), diags)
		})
	}
}

func announced(t *testing.T, data string) map[int][]string {
	wants := map[int][]string{}
	for i, line := range strings.Split(data, "\n") {
		m := want.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, quoted := range pattern.FindAllString(m[1], -1) {
			p, err := strconv.Unquote(quoted)
			if err != nil {
				t.Fatalf("line %d: %s: %v", i+1, quoted, err)
			}
			wants[i+1] = append(wants[i+1], p)
		}
	}
	return wants
}

func compare(t *testing.T, file string, wants map[int][]string, diags diag.List) {
	for _, d := range diags {
		line, got := d.Span.Start.Line, fmt.Sprintf("%s [%s]", d.Message, d.Code)
		rest, found := wants[line], false
		for i, p := range rest {
			if matched, err := regexp.MatchString(p, got); err == nil && matched {
				wants[line], found = append(rest[:i:i], rest[i+1:]...), true
				break
			}
		}
		if !found {
			t.Errorf("%s:%d:%d: unexpected: %s", file, line, d.Span.Start.Column, got)
		}
	}
	for line, rest := range wants {
		for _, p := range rest {
			t.Errorf("%s:%d: no diagnostic matches %q", file, line, p)
		}
	}
}

// Code is that of the translators of the package under test, without its table of fields:
// a field that it does not name is read by nobody.
func Code(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "fields.go" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(text)
	}
	return code.String()
}
