package load

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (c *converter) mapping(n *yaml.Node, depth int) []Field {
	out := cut(&c.fields, len(n.Content)/2)[:0]
	seen := newKeys(len(n.Content) / 2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Tag == "!!merge" {
			merged = append(merged, n.Content[i+1])
			if c.strict {
				c.report(CodeAmbiguous, c.place(k), "merge key << is understood differently by YAML readers: write the fields out")
			}
			continue
		}
		key, ok := c.key(k)
		if !ok {
			continue
		}
		span := c.place(k)
		span.End = c.end(k, span)
		if first := seen.find(out, key); first != nil {
			if depth == 0 && (key == "apiVersion" || key == "kind") {
				c.missingMarker(first, span)
				return out // the rest is another object
			}
			d := c.report(CodeDuplicateKey, span, "%s stands twice in this object: Kubernetes keeps the last, other readers refuse", key)
			d.Related = []diag.Related{{Span: first.KeySpan, Message: "first here"}}
			continue
		}
		out = append(out, Field{Key: key, KeySpan: span, Value: c.node(n.Content[i+1], depth+1)})
		seen.add(key, len(out)-1)
	}
	for _, m := range merged {
		out = c.merge(out, m, depth)
	}
	return out
}

// missingMarker reports two objects that run into one another.
func (c *converter) missingMarker(first *Field, at source.Span) {
	d := c.report(CodeDuplicateKey, at, "%s stands twice: a second object begins here without a line --- before it, and is not read", first.Key)
	d.Related = []diag.Related{{Span: first.KeySpan, Message: "first here"}}
	d.Fix = &diag.Fix{Message: "insert --- before the second object"}
	if at.Start.Column == 1 {
		d.Fix.Edits = []source.Edit{{Span: source.At(at.File, at.Start.Line, 1), New: "---\n"}}
	}
}

// merge adds the fields of a merge key's value that are not there yet.
func (c *converter) merge(out []Field, n *yaml.Node, depth int) []Field {
	from := c.node(n, depth+1)
	sources := []*Node{from}
	if from.Kind == List {
		sources = from.Items
	}
	for _, s := range sources {
		for _, f := range s.Fields {
			if !slices.ContainsFunc(out, func(g Field) bool { return g.Key == f.Key }) {
				out = append(out, f)
			}
		}
	}
	return out
}

// key returns the text of a key. Numbers and booleans are keys as in JSON.
func (c *converter) key(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		c.report(CodeYAML, c.place(n), "a key must be a string")
		return "", false
	}
	var k Node
	k.Span = c.place(n)
	if n.Tag == "!!str" && n.Style == 0 && c.strict {
		c.ambiguous(n, k.Span)
	}
	return c.substitute(n.Value, k.Span), true
}

// keys finds duplicates: by comparison in small objects, by a map in large ones.
type keys map[string]int

func newKeys(n int) keys {
	if n <= 16 {
		return nil
	}
	return make(keys, n)
}

func (k keys) find(fields []Field, key string) *Field {
	if k != nil {
		if i, ok := k[key]; ok {
			return &fields[i]
		}
		return nil
	}
	for i := range fields {
		if fields[i].Key == key {
			return &fields[i]
		}
	}
	return nil
}

func (k keys) add(key string, i int) {
	if k != nil {
		k[key] = i
	}
}
