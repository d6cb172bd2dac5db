package objects

import (
	"bytes"
	"cmp"
	"hash/maphash"
)

// tree is an ordered map that never changes, a treap: an edit makes the nodes on
// one path anew and shares the rest. What is in it decides its shape, so that two
// versions differ only where their contents do.
type tree struct {
	name        string
	data        []byte
	rank        uint64 // the highest is the root
	n           int
	left, right *tree
}

// seed of the ranks. It shows in no result.
var seed = maphash.MakeSeed()

func leaf(name string, data []byte) *tree {
	return &tree{name: name, data: data, rank: maphash.String(seed, name), n: 1}
}

func (t *tree) len() int {
	if t == nil {
		return 0
	}
	return t.n
}

// over is t with other children.
func (t *tree) over(left, right *tree) *tree {
	return &tree{name: t.name, data: t.data, rank: t.rank, n: 1 + left.len() + right.len(), left: left, right: right}
}

func (t *tree) above(o *tree) bool {
	return cmp.Or(cmp.Compare(t.rank, o.rank), cmp.Compare(t.name, o.name)) > 0
}

func (t *tree) get(name string) *tree {
	for t != nil && t.name != name {
		if name < t.name {
			t = t.left
		} else {
			t = t.right
		}
	}
	return t
}

// split returns what comes before a name, what has it, and what comes after.
func (t *tree) split(name string) (before, at, after *tree) {
	switch {
	case t == nil:
		return nil, nil, nil
	case name < t.name:
		before, at, after = t.left.split(name)
		return before, at, t.over(after, t.right)
	case name > t.name:
		before, at, after = t.right.split(name)
		return t.over(t.left, before), at, after
	}
	return t.left, t, t.right
}

// join is both; every name of a comes before those of b.
func join(a, b *tree) *tree {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.above(b):
		return a.over(a.left, join(a.right, b))
	}
	return b.over(join(a, b.left), b.right)
}

func (t *tree) with(name string, data []byte) *tree {
	before, _, after := t.split(name)
	return join(join(before, leaf(name, data)), after)
}

func (t *tree) without(name string) *tree {
	before, _, after := t.split(name)
	return join(before, after)
}

// filter keeps some; where all below a node are kept, the node is.
func (t *tree) filter(keep func(name string) bool) *tree {
	if t == nil {
		return nil
	}
	left, kept, right := t.left.filter(keep), keep(t.name), t.right.filter(keep)
	switch {
	case !kept:
		return join(left, right)
	case left == t.left && right == t.right:
		return t
	}
	return t.over(left, right)
}

// from visits the nodes from a name on, in order, until visit says no.
func (t *tree) from(name string, visit func(*tree) bool) bool {
	if t == nil {
		return true
	}
	if name < t.name && !t.left.from(name, visit) {
		return false
	}
	if name <= t.name && !visit(t) {
		return false
	}
	return t.right.from(name, visit)
}

// differ appends the names of what is in one tree and not in the other, in order.
func differ(a, b *tree, names []string) []string {
	switch {
	case a == b:
		return names
	case a == nil || b != nil && b.above(a):
		a, b = b, a
	}
	before, at, after := b.split(a.name)
	names = differ(a.left, before, names)
	if at == nil || !bytes.Equal(a.data, at.data) {
		names = append(names, a.name)
	}
	return differ(a.right, after, names)
}
