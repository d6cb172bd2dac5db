package gatewayapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// textOr is the string of a key, or what the API server writes where it is absent.
func textOr(n *load.Node, key, absent string) string {
	if n.Get(key) == nil {
		return absent
	}
	return n.TextOf(key)
}

// choice reads one of several values; the first stands where it is absent or wrong.
func (t *translator) choice(n *load.Node, key string, values ...string) string {
	v := n.Get(key)
	if v == nil || v.Kind != load.String {
		return values[0]
	}
	if slices.Contains(values, v.Text) {
		return v.Text
	}
	d := t.Wrong(v.Span, "%s %q: want %s", key, v.Text, strings.Join(values, ", "))
	if near := load.Nearest(v.Text, values); near != "" {
		d.SetFix("did you mean " + near + "?")
	}
	return values[0]
}

// number reads a whole number between bounds; ok is false where it is absent or
// wrong.
func (t *translator) number(n *load.Node, key string, low, high int64) (value uint32, ok bool) {
	return t.bounded(n.Get(key), key, low, high)
}

func (t *translator) bounded(v *load.Node, name string, low, high int64) (value uint32, ok bool) {
	if v == nil || v.Kind != load.Int {
		return 0, false
	}
	i, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil || i < low || i > high {
		t.Wrong(v.Span, "%s is %s: want %d to %d", name, v.Text, low, high)
		return 0, false
	}
	return uint32(i), true
}

// port reads a port number, 0 where it is absent.
func (t *translator) port(n *load.Node, key string) uint32 {
	p, _ := t.number(n, key, 1, 65535)
	return p
}

// unique reports the second use of a name in a list.
func (t *translator) unique(seen map[string]source.Span, name string, at source.Span, what string) bool {
	first, again := seen[name]
	if !again {
		seen[name] = at
		return true
	}
	d := t.Wrong(at, "%s is written twice", what)
	d.Related = []diag.Related{{Span: first, Message: "first here"}}
	return false
}
