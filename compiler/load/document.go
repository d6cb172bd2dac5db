// Package load turns the files of a policy repository into documents: one
// object each, with the place of every field.
//
// In: an fs.FS of YAML, JSON and CUE files. Out: documents in file order and
// diagnostics; a file that cannot be read hides nothing in the others. Load
// never interprets a document beyond apiVersion, kind and metadata.
package load

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Kind of a Node.
type Kind uint8

// Kinds of nodes, after YAML's core schema.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	List
	Map
)

var kindNames = [...]string{"null", "boolean", "integer", "number", "string", "list", "object"}

func (k Kind) String() string { return kindNames[k] }

// Node is one value of a document with its place. Nodes are immutable once
// loaded and may be shared between runs.
type Node struct {
	Kind   Kind
	Span   source.Span
	Text   string  // scalars: the value's canonical text ("true", "80", "0.5", the string itself)
	Fields []Field // Map, in source order, keys unique
	Items  []*Node // List
}

// Field is one key of a map.
type Field struct {
	Key     string
	KeySpan source.Span
	Value   *Node
}

// Get returns the value of a key, nil where n is not a map or has no such key.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return n.Fields[i].Value
		}
	}
	return nil
}

// Field returns the field of a key, nil where there is none.
func (n *Node) Field(key string) *Field {
	if n == nil {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return &n.Fields[i]
		}
	}
	return nil
}

// TextOf is the string of a key, "" where it is none.
func (n *Node) TextOf(key string) string {
	if v := n.Get(key); v != nil && v.Kind == String {
		return v.Text
	}
	return ""
}

// IsTrue reports that a key is true.
func (n *Node) IsTrue(key string) bool {
	v := n.Get(key)
	return v != nil && v.Kind == Bool && v.Text == "true"
}

// ItemsOf are the values of a list, none where it is no list.
func (n *Node) ItemsOf(key string) []*Node {
	if v := n.Get(key); v != nil && v.Kind == List {
		return v.Items
	}
	return nil
}

// TextsOf are the strings of a list.
func (n *Node) TextsOf(key string) []*Node {
	return slices.DeleteFunc(slices.Clone(n.ItemsOf(key)), func(v *Node) bool { return v.Kind != String })
}

// Entries are the fields of an object by key, so that two spellings of one object mean
// the same.
func (n *Node) Entries() []Field {
	if n == nil {
		return nil
	}
	return slices.SortedFunc(slices.Values(n.Fields), func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
}

// At follows a path of keys (string) and indexes (int); nil where it ends early.
func (n *Node) At(path ...any) *Node {
	for _, step := range path {
		if n == nil {
			return nil
		}
		switch s := step.(type) {
		case string:
			n = n.Get(s)
		case int:
			if n.Kind != List || s < 0 || s >= len(n.Items) {
				return nil
			}
			n = n.Items[s]
		}
	}
	return n
}

// Nearest follows path as far as it exists and returns the span of the last
// value found: where to point when a field is missing.
func (n *Node) Nearest(path ...any) source.Span {
	span := n.Span
	for i := range path {
		next := n.At(path[:i+1]...)
		if next == nil {
			break
		}
		span = next.Span
	}
	return span
}

// Document is one object of the repository.
type Document struct {
	APIVersion string
	Kind       string
	Namespace  string // "" for kinds without one only
	Name       string
	// NamespaceDefaulted is set where Namespace came from a kustomization, a flag
	// or the default, and not from the document.
	NamespaceDefaulted bool
	Span               source.Span // of the document's first field
	Root               *Node       // nil in a result of package compiler, unless FromCUE
	FromCUE            bool
}

// Group is the API group: "networking.istio.io" of "networking.istio.io/v1", ""
// for the core group.
func (d *Document) Group() string {
	for i := range d.APIVersion {
		if d.APIVersion[i] == '/' {
			return d.APIVersion[:i]
		}
	}
	return ""
}

// Object is the document's name in diagnostics: "VirtualService shop/reviews".
func (d *Document) Object() string {
	if d.Namespace == "" {
		return d.Kind + " " + d.Name
	}
	return d.Kind + " " + d.Namespace + "/" + d.Name
}
