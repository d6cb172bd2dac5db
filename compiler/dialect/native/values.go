package native

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// wrong reports a value that the field does not take.
func (t *translator) wrong(at source.Span, format string, args ...any) *diag.Diagnostic {
	return t.Errorf(translate.CodeValue, at, format, args...)
}

// unsupported reports that a field is written whose meaning is not implemented.
// instead says what to write, "" where nothing does the same.
func (t *translator) unsupported(n *load.Node, key, instead string) {
	f := n.Field(key)
	if f == nil {
		return
	}
	d := t.notYet(f.KeySpan, "field %s is not supported yet", key)
	if instead == "" {
		instead = "remove it: it would have no effect"
	}
	d.Fix = &diag.Fix{Message: instead}
}

// notYet reports a value whose meaning is not implemented.
func (t *translator) notYet(at source.Span, format string, args ...any) *diag.Diagnostic {
	return t.Errorf(translate.CodeUnsupported, at, format, args...)
}

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

// items are the values of a list, none where it is no list.
func items(n *load.Node, key string) []*load.Node {
	if v := n.Get(key); v != nil && v.Kind == load.List {
		return v.Items
	}
	return nil
}

// fieldsOf are the entries of an object by key order.
func fieldsOf(n *load.Node) []load.Field {
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

// texts are the strings of a list.
func texts(n *load.Node, key string) []string {
	var out []string
	for _, item := range items(n, key) {
		if item.Kind == load.String {
			out = append(out, item.Text)
		}
	}
	return out
}

// which returns the first of keys that n has, "" for none.
func which(n *load.Node, keys ...string) string {
	for _, key := range keys {
		if n.Get(key) != nil {
			return key
		}
	}
	return ""
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

// isTrue reads a field that is written to choose something.
func isTrue(n *load.Node, key string) bool {
	v := n.Get(key)
	return v != nil && v.Kind == load.Bool && v.Text == "true"
}

// flag reads a boolean; nil where it is absent.
func flag(n *load.Node, key string) *bool {
	v := n.Get(key)
	if v == nil || v.Kind != load.Bool {
		return nil
	}
	b := v.Text == "true"
	return &b
}

// number reads an integer; nil where it is absent or wrong.
func number(n *load.Node, key string) *uint32 { return unsigned(n.Get(key)) }

func unsigned(v *load.Node) *uint32 {
	if v == nil || v.Kind != load.Int {
		return nil
	}
	i, err := strconv.ParseUint(v.Text, 10, 32)
	if err != nil {
		return nil
	}
	u := uint32(i)
	return &u
}

func zero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func port(n *load.Node, key string) uint32 { return zero(number(n, key)) }

// percent is a share of one hundred.
func percent(n *load.Node, key string) float64 {
	v := n.Get(key)
	if v == nil {
		return 0
	}
	f, _ := strconv.ParseFloat(v.Text, 64) // the shape has judged it
	return f
}

// seconds reads a duration of whole seconds.
func (t *translator) seconds(n *load.Node, key string) time.Duration {
	d := zero(t.Duration(n, key, time.Second))
	if d%time.Second != 0 {
		t.wrong(t.at(n, key), "%s %q: want whole seconds", key, text(n, key))
	}
	return d
}

// expires reads a date and remembers it for the judgement of the build; what
// names the thing that ends.
func (t *translator) expires(n *load.Node, key, what string) time.Time {
	end := t.date(n, key)
	if !end.IsZero() {
		t.out.Expiries = append(t.out.Expiries, &mesh.Expiry{Origin: t.Origin, What: what, At: end, Span: t.at(n, key)})
	}
	return end
}

// date reads a time.
func (t *translator) date(n *load.Node, key string) time.Time {
	v := n.Get(key)
	if v == nil || v.Kind != load.String {
		return time.Time{}
	}
	end, err := time.Parse(time.RFC3339, v.Text)
	if err != nil {
		t.wrong(v.Span, "%s %q is no RFC 3339 time: write it as 2027-03-31T00:00:00Z", key, v.Text)
		return time.Time{}
	}
	return end.UTC()
}

// ruleName reads the name of a rule or case, which becomes part of ids, logs and
// metrics.
func (t *translator) ruleName(n *load.Node) string {
	name := text(n, "name")
	if strings.ContainsFunc(name, unicode.IsControl) {
		t.wrong(t.at(n, "name"), "name %q has a control character", name)
	}
	return name
}

// ref names a service of this namespace, unless another is written.
func (t *translator) ref(n *load.Node, key string) mesh.Ref {
	namespace := text(n, "namespace")
	if namespace == "" {
		namespace = t.Namespace
	}
	return mesh.Ref{Name: text(n, key), Namespace: namespace, Span: t.at(n, key), External: key == "externalService"}
}

// unique reports the second use of a name in a list.
func (t *translator) unique(seen map[string]source.Span, v *load.Node, what string) {
	if v == nil {
		return
	}
	first, again := seen[v.Text]
	if !again {
		seen[v.Text] = v.Span
		return
	}
	d := t.wrong(v.Span, "%s %q is taken: give each its own", what, v.Text)
	d.Related = []diag.Related{{Span: first, Message: "first here"}}
}
