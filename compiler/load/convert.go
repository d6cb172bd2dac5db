package load

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// converter makes documents of the YAML nodes of one piece.
type converter struct {
	*loader
	piece
	unit   *unit
	index  *lineIndex
	strict bool
	object string
	// The nodes of one document are cut from three slabs.
	nodes    []Node
	fields   []Field
	items    []*Node
	budget   int
	overflow bool
	aliases  map[*yaml.Node]*alias
}

// alias is an anchored value: node is nil while it is being converted, size is
// how many values it stands for.
type alias struct {
	node *Node
	size int
}

// document classifies one YAML document and converts it if it is to be read.
// The items of a List are documents of their own, as for kubectl.
func (c *converter) document(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // comments only
	}
	version, kind := scalarField(n, "apiVersion"), scalarField(n, "kind")
	if items := field(n, "items"); items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(kind, "List") && version != "" {
		for _, item := range items.Content {
			if item.Kind == yaml.AliasNode {
				item = item.Alias
			}
			c.document(item)
		}
		return
	}
	group := groupOf(version)
	var reading Reading
	if version != "" && kind != "" {
		reading = c.read(group, kind)
	}
	if c.kust.places[c.file.path].patch {
		reading.Read = false
	}
	if !reading.Read {
		c.unit.foreign = append(c.unit.foreign, Foreign{Span: c.place(n), APIVersion: version, Kind: kind})
		return
	}
	c.strict, c.object = reading.Strict, kind+" "+scalarField(field(n, "metadata"), "name")
	c.reserve(n)
	root := c.node(n, 0)
	if c.overflow {
		return
	}
	doc := &Document{APIVersion: version, Kind: kind, Root: root, Span: root.Span}
	c.loader.name(doc, reading, c.file.path, c.unit)
}

// field returns the value of a key of a YAML mapping, nil where there is none.
func field(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key && n.Content[i].Kind == yaml.ScalarNode {
			if v := n.Content[i+1]; v.Kind != yaml.AliasNode {
				return v
			}
			return n.Content[i+1].Alias
		}
	}
	return nil
}

func scalarField(n *yaml.Node, key string) string {
	if v := field(n, key); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

// reserve makes slabs that fit the document, aliases not followed.
func (c *converter) reserve(n *yaml.Node) {
	nodes, fields, items := 0, 0, 0
	var count func(n *yaml.Node, depth int)
	count = func(n *yaml.Node, depth int) {
		nodes++
		if depth > c.limits.Depth {
			return
		}
		switch n.Kind {
		case yaml.MappingNode:
			fields += len(n.Content) / 2
			for i := 1; i < len(n.Content); i += 2 {
				count(n.Content[i], depth+1)
			}
		case yaml.SequenceNode:
			items += len(n.Content)
			for _, item := range n.Content {
				count(item, depth+1)
			}
		}
	}
	count(n, 0)
	c.nodes, c.fields, c.items = make([]Node, 0, nodes), make([]Field, 0, fields), make([]*Node, 0, items)
	c.budget, c.overflow, c.aliases = c.limits.Nodes, false, nil
}

// node converts n. It never returns nil; after an overflow the document is
// dropped as a whole.
func (c *converter) node(n *yaml.Node, depth int) *Node {
	if c.overflow {
		return &Node{}
	}
	if depth > c.limits.Depth {
		c.exceed(n, "nested deeper than %d", c.limits.Depth)
		return &Node{}
	}
	if n.Kind == yaml.AliasNode {
		return c.alias(n)
	}
	if c.budget--; c.budget < 0 {
		c.exceed(n, "more than %d values in one document, aliases counted as often as used", c.limits.Nodes)
		return &Node{}
	}
	var anchored *alias
	before := c.budget
	if n.Anchor != "" {
		if c.aliases == nil {
			c.aliases = map[*yaml.Node]*alias{}
		}
		anchored = &alias{}
		c.aliases[n] = anchored
	}
	out := c.value(n, depth)
	if anchored != nil {
		*anchored = alias{node: out, size: 1 + before - c.budget}
	}
	return out
}

func (c *converter) exceed(n *yaml.Node, format string, args ...any) {
	c.overflow = true
	c.report(CodeLimit, c.place(n), format, args...)
}

func (c *converter) report(code diag.Code, at source.Span, format string, args ...any) *diag.Diagnostic {
	d := c.unit.diags.Errorf(code, at, format, args...)
	d.Object = c.object
	return d
}

// alias shares the anchored value: its place is where it was written.
func (c *converter) alias(n *yaml.Node) *Node {
	target := c.aliases[n.Alias]
	switch {
	case target == nil: // anchored in a part that is not read, such as the List around an item
		return c.node(n.Alias, 1)
	case target.node == nil:
		c.exceed(n, "alias *%s contains itself", n.Value)
		return &Node{}
	}
	if c.budget -= target.size; c.budget < 0 {
		c.exceed(n, "more than %d values in one document, aliases counted as often as used", c.limits.Nodes)
	}
	return target.node
}

func (c *converter) value(n *yaml.Node, depth int) *Node {
	out := c.alloc()
	out.Span = c.place(n)
	if n.Style&yaml.TaggedStyle != 0 && c.strict {
		c.report(CodeAmbiguous, out.Span, "tag %s is understood differently by YAML readers: write the plain value", n.Tag)
	}
	switch n.Kind {
	case yaml.MappingNode:
		out.Kind = Map
		out.Fields = c.mapping(n, depth)
		if k := len(out.Fields); k > 0 && n.Style&yaml.FlowStyle == 0 {
			out.Span.End = out.Fields[k-1].Value.Span.End
		}
	case yaml.SequenceNode:
		out.Kind = List
		out.Items = cut(&c.items, len(n.Content))
		for i, item := range n.Content {
			out.Items[i] = c.node(item, depth+1)
		}
		if k := len(out.Items); k > 0 && n.Style&yaml.FlowStyle == 0 {
			out.Span.End = out.Items[k-1].Span.End
		}
	default:
		c.scalar(n, out)
	}
	return out
}

func (c *converter) alloc() *Node {
	if len(c.nodes) == cap(c.nodes) {
		c.nodes = make([]Node, 0, 64) // values reached through an alias only
	}
	c.nodes = append(c.nodes, Node{})
	return &c.nodes[len(c.nodes)-1]
}

// cut takes n elements off a slab.
func cut[T any](slab *[]T, n int) []T {
	if n == 0 {
		return nil
	}
	s := *slab
	if cap(s)-len(s) < n {
		return make([]T, n)
	}
	*slab = s[:len(s)+n]
	return s[len(s) : len(s)+n : len(s)+n]
}

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
