package istio

import (
	"strconv"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// plain are the values of strings.
func plain(nodes []*load.Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Text)
	}
	return out
}

// labels is an object of strings, nil where it is absent.
func labels(n *load.Node) map[string]string {
	if n == nil || n.Kind != load.Map {
		return nil
	}
	out := make(map[string]string, len(n.Fields))
	for _, f := range n.Fields {
		out[f.Key] = f.Value.Text
	}
	return out
}

// isFalse reports that false is written.
func isFalse(n *load.Node, key string) bool {
	v := n.Get(key)
	return v != nil && v.Kind == load.Bool && v.Text == "false"
}

// count reads a number that must not be negative; nil where it is absent.
func (t *translator) count(n *load.Node, key string) *uint32 {
	v := n.Get(key)
	if v == nil || v.Kind != load.Int {
		return nil
	}
	i, err := strconv.ParseInt(v.Text, 10, 64)
	switch {
	case err != nil || i > 1<<32-1:
		return nil // the shape has reported it
	case i < 0:
		t.Wrong(v.Span, "%s is %d: want 0 or more", key, i)
		return nil
	}
	u := uint32(i)
	return &u
}

// positive is count where Istio cannot tell 0 from absence.
func (t *translator) positive(n *load.Node, key string) *uint32 {
	if c := t.count(n, key); c != nil && *c > 0 {
		return c
	}
	return nil
}

func zero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// port reads a port number, 0 where it is absent.
func (t *translator) port(n *load.Node, key string) uint32 {
	p := t.count(n, key)
	if p != nil && (*p == 0 || *p > 65535) {
		t.Wrong(t.At(n, key), "%s is %d: want 1 to 65535", key, *p)
		return 0
	}
	return zero(p)
}

// status reads an HTTP status that a response may have.
func (t *translator) status(n *load.Node, key string) uint32 {
	s := t.count(n, key)
	if s != nil && (*s < 200 || *s > 599) {
		t.Wrong(t.At(n, key), "%s is %d: want 200 to 599", key, *s)
		return 0
	}
	return zero(s)
}

// seconds reads a duration of whole seconds.
func (t *translator) seconds(n *load.Node, key string, low time.Duration) *time.Duration {
	d := t.Duration(n, key, low)
	if zero(d)%time.Second != 0 {
		t.Wrong(t.At(n, key), "%s %q: want whole seconds", key, n.TextOf(key))
		return nil
	}
	return d
}

// float reads a number; ok is false where it is absent.
func float(n *load.Node, key string) (value float64, ok bool) {
	v := n.Get(key)
	if v == nil || v.Kind != load.Int && v.Kind != load.Float {
		return 0, false
	}
	value, err := strconv.ParseFloat(v.Text, 64)
	return value, err == nil
}

// percent reads a share of one hundred; ok is false where it is absent.
func (t *translator) percent(n *load.Node, key string) (value float64, ok bool) {
	value, ok = float(n, key)
	if ok && !(0 <= value && value <= 100) {
		t.Wrong(t.At(n, key), "%s is %s: want 0 to 100", key, n.Get(key).Text)
		return 0, true
	}
	return value, ok
}

// unique reports the second use of a name in a list.
func (t *translator) unique(seen map[string]source.Span, name string, at source.Span, what string) {
	if name == "" {
		return
	}
	first, again := seen[name]
	if !again {
		seen[name] = at
		return
	}
	d := t.Wrong(at, "%s %q is written twice", what, name)
	d.Related = []diag.Related{{Span: first, Message: "first here"}}
}
