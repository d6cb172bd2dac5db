package mutate_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
)

// repository is a policy repository as trees that can be changed: documents by file.
type repository struct {
	name  string
	files map[string][]*yaml.Node
}

// parse reads every YAML file below fsys.
func parse(t *testing.T, name string, fsys fs.FS) *repository {
	t.Helper()
	r := &repository{name: name, files: map[string][]*yaml.Node{}}
	err := fs.WalkDir(fsys, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := fs.ReadFile(fsys, path)
		if err == nil {
			r.files[path], err = documents(data)
		}
		return err
	})
	if err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return r
}

func documents(data []byte) ([]*yaml.Node, error) {
	var out []*yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		switch err := d.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		case len(doc.Content) == 1 && doc.Content[0].Kind == yaml.MappingNode:
			out = append(out, doc.Content[0])
		}
	}
}

// clone copies the trees.
func (r *repository) clone() *repository {
	out := &repository{name: r.name, files: make(map[string][]*yaml.Node, len(r.files))}
	for name, docs := range r.files {
		for _, d := range docs {
			out.files[name] = append(out.files[name], copied(d))
		}
	}
	return out
}

func copied(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		c.Content[i] = copied(n.Content[i])
	}
	return &c
}

// render writes the trees as files again.
func (r *repository) render(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	for name, docs := range r.files {
		var b bytes.Buffer
		e := yaml.NewEncoder(&b)
		for _, d := range docs {
			if err := e.Encode(d); err != nil {
				t.Fatal(err)
			}
		}
		out[name] = &fstest.MapFile{Data: b.Bytes()}
	}
	return out
}

// donor is what documents have below a key: values, and fields of objects.
type donor struct {
	values map[string][]*yaml.Node            // by key
	fields map[string]map[string][]*yaml.Node // by the key of the object, by field
}

func newDonor(all []*repository) *donor {
	d := &donor{values: map[string][]*yaml.Node{}, fields: map[string]map[string][]*yaml.Node{}}
	for _, r := range all {
		for _, file := range slices.Sorted(maps.Keys(r.files)) {
			for _, doc := range r.files[file] {
				d.learn(kindOf(doc), doc)
			}
		}
	}
	return d
}

// kindOf is the key of a document's own fields.
func kindOf(doc *yaml.Node) string {
	for i := 0; i+1 < len(doc.Content); i += 2 {
		if doc.Content[i].Value == "kind" {
			return doc.Content[i+1].Value
		}
	}
	return ""
}

// learn takes what stands below a key. A spec is known by its kind.
func (d *donor) learn(key string, n *yaml.Node) {
	d.values[key] = append(d.values[key], n)
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			d.learn(key, item)
		}
	case yaml.MappingNode:
		if d.fields[key] == nil {
			d.fields[key] = map[string][]*yaml.Node{}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			field := below(key, n.Content[i].Value)
			d.fields[key][n.Content[i].Value] = append(d.fields[key][n.Content[i].Value], n.Content[i+1])
			d.learn(field, n.Content[i+1])
		}
	}
}

func below(key, field string) string {
	if field == "spec" {
		return key + ".spec"
	}
	return field
}

// odd are values that are plausible somewhere and wrong in most places.
var odd = []string{
	"0", "1", "80", "443", "8080", "15001", "65535", "65536", "4294967295", "-1", "0.5", "100", "101",
	"0s", "1ms", "250ms", "15s", "8760h", "1.5ms", "true", "false", "null", `""`, `" "`, "a", "v1", "v9",
	"/", "//", "/a", "/a/", "/a/../b", "/{id}", "/{a=**}", `"/a%2fb"`, `"/a?b"`, `".*"`, `"a|b"`, `"("`, `"(a+)+$"`, `"[^a]"`,
	`"*"`, `"*.example.com"`, "catalog", "catalog.shop", "catalog.shop.svc.cluster.local", "Catalog", "a.example.com", "192.0.2.1", `"::1"`, "10.0.0.0/8",
	`"a\nb"`, `"a\"b"`, `"a\\b"`, `"é"`, `"%REQ(a)%"`, `"\u0000"`, "x-user", "X-User", `":path"`, "host", "cookie",
	"GET", "CONNECT", "get", "http", "http2", "grpc", "tcp", "tls", "UDP", "strict", "permissive", "disable", "ISTIO_MUTUAL", "SIMPLE", "mesh", "simple",
	"spiffe://shop.example/ns/shop/sa/order", "spiffe://*", "cluster.local/ns/shop/sa/order", "2040-01-01T00:00:00Z", "[]", "{}", "[a, a]",
}

// spot is a value in a tree, with where it hangs.
type spot struct {
	key    string
	parent *yaml.Node // mapping or sequence
	index  int        // of the value in parent.Content
}

func (s spot) value() *yaml.Node { return s.parent.Content[s.index] }

// spots are all values below a document.
func spots(doc *yaml.Node) []spot {
	var out []spot
	var walk func(key string, n *yaml.Node)
	walk = func(key string, n *yaml.Node) {
		step := 1
		if n.Kind == yaml.MappingNode {
			step = 2
		}
		for i := step - 1; i < len(n.Content); i += step {
			name := key
			if step == 2 {
				name = below(key, n.Content[i-1].Value)
			}
			out = append(out, spot{name, n, i})
			walk(name, n.Content[i])
		}
	}
	walk(kindOf(doc), doc)
	return out
}

// mutate changes the repository in one place.
func (d *donor) mutate(rng *rand.Rand, r *repository) {
	files := slices.Sorted(maps.Keys(r.files))
	file := files[rng.IntN(len(files))]
	if len(r.files[file]) == 0 {
		return
	}
	i := rng.IntN(len(r.files[file]))
	doc := r.files[file][i]
	if rng.IntN(40) == 0 { // the whole document
		d.mutateDocument(rng, r, file, i)
		return
	}
	all := spots(doc)
	s := all[rng.IntN(len(all))]
	switch rng.IntN(6) {
	case 0:
		remove(s)
	case 1:
		repeat(s)
	case 2:
		s.parent.Content[s.index] = oddValue(rng)
	case 3:
		d.addField(rng, s)
	default:
		if pool := d.values[s.key]; len(pool) > 0 {
			s.parent.Content[s.index] = copied(pool[rng.IntN(len(pool))])
		}
	}
}

func (d *donor) mutateDocument(rng *rand.Rand, r *repository, file string, i int) {
	switch rng.IntN(3) {
	case 0:
		r.files[file] = slices.Delete(r.files[file], i, i+1)
	case 1:
		r.files[file] = append(r.files[file], copied(r.files[file][i]))
	default:
		if pool := d.values[kindOf(r.files[file][i])]; len(pool) > 0 {
			r.files[file] = append(r.files[file], copied(pool[rng.IntN(len(pool))]))
		}
	}
}

func remove(s spot) {
	from := s.index
	if s.parent.Kind == yaml.MappingNode {
		from--
	}
	s.parent.Content = slices.Delete(slices.Clone(s.parent.Content), from, s.index+1)
}

func repeat(s spot) {
	if s.parent.Kind == yaml.SequenceNode {
		s.parent.Content = append(slices.Clone(s.parent.Content), copied(s.value()))
	}
}

func oddValue(rng *rand.Rand) *yaml.Node {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(odd[rng.IntN(len(odd))]), &n); err != nil || len(n.Content) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: "odd"}
	}
	return n.Content[0]
}

// addField gives an object a field that objects of its key have elsewhere.
func (d *donor) addField(rng *rand.Rand, s spot) {
	object := s.value()
	if object.Kind != yaml.MappingNode {
		return
	}
	fields := d.fields[s.key]
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(fields)), func(name string) bool { return has(object, name) })
	if len(names) == 0 {
		return
	}
	name := names[rng.IntN(len(names))]
	pool := fields[name]
	object.Content = append(slices.Clone(object.Content),
		&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, copied(pool[rng.IntN(len(pool))]))
}

func has(object *yaml.Node, name string) bool {
	for i := 0; i < len(object.Content); i += 2 {
		if object.Content[i].Value == name {
			return true
		}
	}
	return false
}

// bases are the repositories that are changed; donors have more documents, which
// need not make sense together.
func bases(t *testing.T) (all, donors []*repository) {
	t.Helper()
	for _, pattern := range []string{"../../testdata/repos/*", "../../testdata/feature/*", "testdata/*"} {
		dirs, err := filepath.Glob(pattern)
		if err != nil || len(dirs) == 0 {
			t.Fatalf("no repository at %s: %v", pattern, err)
		}
		for _, dir := range dirs {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				all = append(all, parse(t, filepath.Base(dir), os.DirFS(dir)))
			}
		}
	}
	for _, pattern := range []string{"native", "istio", "kubernetes"} {
		donors = append(donors, archives(t, "../../compiler/dialect/"+pattern+"/testdata/*.txtar")...)
	}
	return all, slices.Concat(all, donors)
}

func archives(t *testing.T, pattern string) []*repository {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixture at %s: %v", pattern, err)
	}
	var out []*repository
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fsys := fstest.MapFS{}
		for _, f := range archive.Files {
			if strings.HasSuffix(f.Name, ".yaml") {
				fsys[f.Name] = &fstest.MapFile{Data: f.Data}
			}
		}
		out = append(out, parse(t, filepath.Base(file), fsys))
	}
	return out
}
