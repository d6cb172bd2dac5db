package objects

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Locate names the object and the field at a place of a rendered file.
func Locate(set *Set, at source.Span) (object, field string) {
	data, ok := set.Get(at.File)
	var doc yaml.Node
	if !ok || yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return "", ""
	}
	root := doc.Content[0]
	meta := value(root, "metadata")
	object = text(meta, "name")
	if ns := text(meta, "namespace"); ns != "" {
		object = ns + "/" + object
	}
	descend(root, "", characters(data, at.Start), &field)
	return text(root, "kind") + " " + object, strings.TrimPrefix(field, ".")
}

// characters is a place whose column counts characters, as the parser's do, and not
// bytes. What is rendered has no line breaks but this one: others are escaped.
func characters(data []byte, at source.Pos) source.Pos {
	for range at.Line - 1 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	at.Column = 1 + utf8.RuneCount(line[:min(max(at.Column-1, 0), len(line))])
	return at
}

// descend leaves in found the path of the last value that begins, with its key, at
// or before the place: values come in the order of the text.
func descend(n *yaml.Node, path string, at source.Pos, found *string) {
	visit := func(begin, v *yaml.Node, path string) {
		if begin.Line < at.Line || begin.Line == at.Line && begin.Column <= at.Column {
			*found = path
			descend(v, path, at, found)
		}
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			visit(n.Content[i], n.Content[i+1], path+key(n.Content[i].Value))
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			visit(item, item, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

// key is one step of a field path; keys with dots are quoted, as kubectl does.
func key(name string) string {
	if strings.ContainsAny(name, "./[]") {
		return fmt.Sprintf("[%q]", name)
	}
	return "." + name
}

func value(n *yaml.Node, name string) *yaml.Node {
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

func text(n *yaml.Node, name string) string {
	if v := value(n, name); v != nil {
		return v.Value
	}
	return ""
}
