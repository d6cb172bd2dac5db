package istio

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// wrong reports a value that the field does not take.
func (t *translator) wrong(at source.Span, format string, args ...any) *diag.Diagnostic {
	return t.Errorf(translate.CodeValue, at, format, args...)
}

// warn reports a value that Istio takes and that does nothing, or not what it seems to.
func (t *translator) warn(at source.Span, format string, args ...any) *diag.Diagnostic {
	return t.Add(translate.CodeValue, diag.Warning, at, format, args...)
}

// unsupported reports a value whose meaning is not implemented.
func (t *translator) unsupported(at source.Span, format string, args ...any) *diag.Diagnostic {
	return t.Errorf(translate.CodeUnsupported, at, format, args...)
}

// fix adds what mends the finding.
func fix(d *diag.Diagnostic, message string) { d.Fix = &diag.Fix{Message: message} }

// at is where to point for a key of n: its value, or n where it is missing.
func (t *translator) at(n *load.Node, key string) source.Span {
	if v := n.Get(key); v != nil {
		return v.Span
	}
	if n != nil {
		return n.Span
	}
	return t.Origin.Span
}

// exclusive reports that two fields stand together.
func (t *translator) exclusive(n *load.Node, first, second, why string) {
	a, b := n.Field(first), n.Field(second)
	if a == nil || b == nil {
		return
	}
	d := t.wrong(b.KeySpan, "%s stands beside %s: %s", second, first, why)
	d.Related = []diag.Related{{Span: a.KeySpan, Message: first}}
}

// items are the values of a list, none where it is no list.
func items(n *load.Node, key string) []*load.Node {
	if v := n.Get(key); v != nil && v.Kind == load.List {
		return v.Items
	}
	return nil
}

// texts are the strings of a list.
func texts(n *load.Node, key string) []*load.Node {
	return slices.DeleteFunc(slices.Clone(items(n, key)), func(v *load.Node) bool { return v.Kind != load.String })
}

// plain are the values of strings.
func plain(nodes []*load.Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Text)
	}
	return out
}

// entries are those of an object by key order, so that two spellings of one
// object mean the same.
func entries(n *load.Node) []load.Field {
	if n == nil {
		return nil
	}
	return slices.SortedFunc(slices.Values(n.Fields), func(a, b load.Field) int { return strings.Compare(a.Key, b.Key) })
}

// text is the string of a key, "" where it is none.
func text(n *load.Node, key string) string {
	if v := n.Get(key); v != nil && v.Kind == load.String {
		return v.Text
	}
	return ""
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

// isTrue reads a boolean.
func isTrue(n *load.Node, key string) bool {
	v := n.Get(key)
	return v != nil && v.Kind == load.Bool && v.Text == "true"
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
		t.wrong(v.Span, "%s is %d: want 0 or more", key, i)
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
		t.wrong(t.at(n, key), "%s is %d: want 1 to 65535", key, *p)
		return 0
	}
	return zero(p)
}

// status reads an HTTP status that a response may have.
func (t *translator) status(n *load.Node, key string) uint32 {
	s := t.count(n, key)
	if s != nil && (*s < 200 || *s > 599) {
		t.wrong(t.at(n, key), "%s is %d: want 200 to 599", key, *s)
		return 0
	}
	return zero(s)
}

// seconds reads a duration of whole seconds.
func (t *translator) seconds(n *load.Node, key string, low time.Duration) *time.Duration {
	d := t.Duration(n, key, low)
	if zero(d)%time.Second != 0 {
		t.wrong(t.at(n, key), "%s %q: want whole seconds", key, text(n, key))
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
		t.wrong(t.at(n, key), "%s is %s: want 0 to 100", key, n.Get(key).Text)
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
	d := t.wrong(at, "%s %q is written twice", what, name)
	d.Related = []diag.Related{{Span: first, Message: "first here"}}
}

// token is RFC 9110's.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// isLabel is an RFC 1123 label.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// placeholder reports a variable without a value, which has a diagnostic of the
// loader already.
func placeholder(s string) bool { return strings.Contains(s, "${") || strings.Contains(s, "$(") }
