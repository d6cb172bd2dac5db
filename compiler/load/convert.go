package load

import (
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
	deepest  int // level reached since the anchored value around began
	aliases  map[*yaml.Node]*alias
}

// alias is an anchored value: node is nil while it is being converted, size is
// how many values it stands for, height how many levels they have.
type alias struct {
	node         *Node
	size, height int
}

// document classifies one YAML document and converts it if it is to be read.
// The items of a List are documents of their own, as for kubectl.
func (c *converter) document(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // comments only
	}
	version, kind := scalarField(n, "apiVersion"), scalarField(n, "kind")
	if items := rawField(n, "items"); items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(kind, "List") && version != "" {
		for _, item := range items.Content {
			c.item(item)
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

// item reads one item of a List. Aliases could make a List endless.
func (c *converter) item(n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		c.object = ""
		c.report(CodeLimit, c.place(n), "*%s as an item of a List is not followed: write the object out", n.Value)
		return
	}
	c.document(n)
}

// rawField returns the value of a key of a YAML mapping, nil where there is none.
func rawField(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key && n.Content[i].Kind == yaml.ScalarNode {
			return n.Content[i+1]
		}
	}
	return nil
}

// field is rawField with an alias followed.
func field(n *yaml.Node, key string) *yaml.Node {
	v := rawField(n, key)
	if v != nil && v.Kind == yaml.AliasNode {
		return v.Alias
	}
	return v
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
	c.budget, c.overflow, c.deepest, c.aliases = c.limits.Nodes, false, 0, nil
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
		return c.alias(n, depth)
	}
	c.deepest = max(c.deepest, depth)
	if c.budget--; c.budget < 0 {
		c.exceed(n, "more than %d values in one document, aliases counted as often as used", c.limits.Nodes)
		return &Node{}
	}
	if n.Anchor == "" {
		return c.value(n, depth)
	}
	return c.anchored(n, depth)
}

// anchored converts a value that aliases may stand for.
func (c *converter) anchored(n *yaml.Node, depth int) *Node {
	if c.aliases == nil {
		c.aliases = map[*yaml.Node]*alias{}
	}
	a := &alias{}
	c.aliases[n] = a
	budget, deepest := c.budget, c.deepest
	c.deepest = depth
	out := c.value(n, depth)
	*a = alias{node: out, size: 1 + budget - c.budget, height: c.deepest - depth}
	c.deepest = max(c.deepest, deepest)
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
func (c *converter) alias(n *yaml.Node, depth int) *Node {
	target := c.aliases[n.Alias]
	switch {
	case target == nil: // anchored in a part that is not read, such as the List around an item
		return c.node(n.Alias, depth)
	case target.node == nil:
		c.exceed(n, "alias *%s contains itself", n.Value)
		return &Node{}
	case depth+target.height > c.limits.Depth:
		c.exceed(n, "nested deeper than %d by alias *%s", c.limits.Depth, n.Value)
		return &Node{}
	}
	c.deepest = max(c.deepest, depth+target.height)
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
