package native

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// refuse reports that a field is written whose meaning is not implemented.
// instead says what to write, "" where nothing does the same.
func (t *translator) refuse(n *load.Node, key, instead string) {
	f := n.Field(key)
	if f == nil {
		return
	}
	d := t.Unsupported(f.KeySpan, "field %s is not supported yet", key)
	if instead == "" {
		instead = "remove it: it would have no effect"
	}
	d.Fix = &diag.Fix{Message: instead}
}

// texts are the strings of a list.
func texts(n *load.Node, key string) []string {
	var out []string
	for _, item := range n.ItemsOf(key) {
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

// share is percent, nil where it is absent.
func share(n *load.Node, key string) *float64 {
	if n.Get(key) == nil {
		return nil
	}
	p := percent(n, key)
	return &p
}

// seconds reads a duration of whole seconds.
func (t *translator) seconds(n *load.Node, key string) time.Duration {
	d := zero(t.Duration(n, key, time.Second))
	if d%time.Second != 0 {
		t.Wrong(t.At(n, key), "%s %q: want whole seconds", key, n.TextOf(key))
	}
	return d
}

// expires reads a date and remembers it for the judgement of the build; what
// names the thing that ends.
func (t *translator) expires(n *load.Node, key, what string) time.Time {
	end := t.date(n, key)
	if !end.IsZero() {
		t.out.Expiries = append(t.out.Expiries, &mesh.Expiry{Origin: t.Origin, What: what, At: end, Span: t.At(n, key)})
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
		t.Wrong(v.Span, "%s %q is no RFC 3339 time: write it as 2027-03-31T00:00:00Z", key, v.Text)
		return time.Time{}
	}
	return end.UTC()
}

// ruleName reads the name of a rule or case, which becomes part of ids, logs and
// metrics.
func (t *translator) ruleName(n *load.Node) string {
	name := n.TextOf("name")
	if strings.ContainsFunc(name, unicode.IsControl) {
		t.Wrong(t.At(n, "name"), "name %q has a control character", name)
	}
	return name
}

// ref names a service of this namespace, unless another is written.
func (t *translator) ref(n *load.Node, key string) mesh.Ref {
	namespace := n.TextOf("namespace")
	if namespace == "" {
		namespace = t.Namespace
	}
	return mesh.Ref{Name: n.TextOf(key), Namespace: namespace, Span: t.At(n, key), External: key == "externalService"}
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
	d := t.Wrong(v.Span, "%s %q is taken: give each its own", what, v.Text)
	d.Related = []diag.Related{{Span: first, Message: "first here"}}
}
