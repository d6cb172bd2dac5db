package load

import (
	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// anchor is the field or list item, in a file of the repository, that a value
// was written in; or a bare position. The zero anchor is nowhere.
type anchor struct {
	field *ast.Field
	item  ast.Expr
	pos   token.Pos
}

func (a anchor) label() source.Span {
	if a.field == nil {
		return source.Span{}
	}
	return span(a.field.Label)
}

func (a anchor) value() source.Span {
	switch {
	case a.field != nil:
		return span(a.field.Value)
	case a.item != nil:
		return span(a.item)
	case a.pos.IsValid():
		return position(a.pos)
	}
	return source.Span{}
}

// is reports whether the anchor may hold the value of a key, "" meaning a list
// item. A label that is computed may be any key.
func (a anchor) is(key string) bool {
	if a.field == nil {
		return key == "" && a.item != nil
	}
	name, _, err := ast.LabelName(a.field.Label)
	return err != nil || name == key
}

// written finds where values stand in the repository's own files: an evaluated
// value knows only where the parts begin that it was made from.
type written struct {
	files  map[string]bool
	labels map[token.Pos]*ast.Field // by the position of the label
	values map[token.Pos]*ast.Field // by the position of the value
	items  map[token.Pos]ast.Expr
	around map[ast.Node]anchor // the field or item around a field or item
}

func indexSources(sources map[string]*ast.File) written {
	w := written{
		files:  map[string]bool{},
		labels: map[token.Pos]*ast.Field{},
		values: map[token.Pos]*ast.Field{},
		items:  map[token.Pos]ast.Expr{},
		around: map[ast.Node]anchor{},
	}
	for name, f := range sources {
		w.files[name] = true
		w.index(f)
	}
	return w
}

func (w written) index(f *ast.File) {
	stack := []anchor{{}}
	visit := func(n ast.Node) bool {
		around := stack[len(stack)-1]
		if field, ok := n.(*ast.Field); ok {
			w.labels[field.Pos()], w.values[field.Value.Pos()] = field, field
			w.around[field] = around
			stack = append(stack, anchor{field: field})
		}
		if item, ok := n.(ast.Expr); ok && w.items[item.Pos()] == item {
			w.around[item] = around
			stack = append(stack, anchor{item: item})
		}
		if list, ok := n.(*ast.ListLit); ok {
			for _, e := range list.Elts {
				if c, ok := e.(*ast.Comprehension); ok {
					e = c.Value
				}
				w.items[e.Pos()] = e
			}
		}
		return true
	}
	leave := func(n ast.Node) {
		top := stack[len(stack)-1]
		if field, ok := n.(*ast.Field); ok && top.field == field {
			stack = stack[:len(stack)-1]
		} else if item, ok := n.(ast.Expr); ok && top.item == item {
			stack = stack[:len(stack)-1]
		}
	}
	ast.Walk(f, visit, leave)
}

// find returns where v was written. children are the places of its fields or
// items. The parts of v are asked last, because CUE evaluates each of them anew,
// the schema's included.
func (w written) find(v cue.Value, key string, children []anchor) anchor {
	if f, ok := v.Source().(*ast.Field); ok && w.files[f.Pos().Filename()] {
		return anchor{field: f}
	}
	pos := v.Pos()
	if a := w.place(pos, key); a.is(key) {
		return a
	}
	for _, child := range children {
		if a := w.parent(child); a.is(key) {
			return a
		}
	}
	if op, parts := v.Expr(); op == cue.AndOp {
		for _, part := range parts {
			if a := w.place(part.Pos(), key); a != (anchor{}) {
				return a
			}
		}
	}
	return w.place(pos, key)
}

func (w written) parent(child anchor) anchor {
	if child.field != nil {
		return w.around[child.field]
	}
	if child.item != nil {
		return w.around[child.item]
	}
	return anchor{}
}

// place returns what begins at a position, preferring what may hold the key: the
// value of "a: b: 1" begins where the label b does.
func (w written) place(p token.Pos, key string) anchor {
	if !p.IsValid() || !w.files[p.Filename()] {
		return anchor{}
	}
	candidates := [...]anchor{{field: w.values[p]}, {field: w.labels[p]}, {item: w.items[p]}}
	for _, a := range candidates {
		if a != (anchor{}) && a.is(key) {
			return a
		}
	}
	return anchor{pos: p}
}
