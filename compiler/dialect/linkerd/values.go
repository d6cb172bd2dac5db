package linkerd

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// items are the objects of a list, none where it is no list.
func items(n *load.Node, key string) []*load.Node { return ofKind(n, key, load.Map) }

func ofKind(n *load.Node, key string, kind load.Kind) []*load.Node {
	v := n.Get(key)
	if v == nil || v.Kind != load.List {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.Items), func(item *load.Node) bool { return item.Kind != kind })
}

// labels is an object of strings, nil where it is absent.
func labels(n *load.Node) map[string]string {
	if n == nil || n.Kind != load.Map {
		return nil
	}
	out := make(map[string]string, len(n.Fields))
	for _, f := range n.Fields {
		if f.Value.Kind == load.String {
			out[f.Key] = f.Value.Text
		}
	}
	return out
}

// exactlyOne reports an object that does not have exactly one of some fields, and
// returns the one that it has.
func (t *translator) exactlyOne(n *load.Node, name string, keys ...string) string {
	found := ""
	for _, key := range keys {
		f := n.Field(key)
		switch {
		case f == nil:
		case found != "":
			d := t.Wrong(f.KeySpan, "%s stands beside %s: %s has exactly one of %s", key, found, name, strings.Join(keys, ", "))
			d.Related = []diag.Related{{Span: n.Field(found).KeySpan, Message: found}}
		default:
			found = key
		}
	}
	if found == "" {
		t.Wrong(n.Span, "%s has none of %s: want exactly one", name, strings.Join(keys, ", "))
	}
	return found
}

// selector reads Kubernetes' LabelSelector: everything in it must hold, and without
// anything it selects all.
func (t *translator) selector(n *load.Node) mesh.LabelSelector {
	out := mesh.LabelSelector{Labels: labels(n.Get("matchLabels"))}
	for _, item := range items(n, "matchExpressions") {
		e := mesh.LabelExpression{Key: item.TextOf("key"), Operator: item.TextOf("operator")}
		for _, v := range item.TextsOf("values") {
			e.Values = append(e.Values, v.Text)
		}
		if t.expression(item, &e) {
			out.Expressions = append(out.Expressions, e)
		}
	}
	return out
}

func (t *translator) expression(n *load.Node, e *mesh.LabelExpression) bool {
	switch e.Operator {
	case "In", "NotIn":
		if len(e.Values) == 0 {
			t.Wrong(n.Span, "operator %s needs values", e.Operator)
			return false
		}
	case "Exists", "DoesNotExist":
		if len(e.Values) > 0 {
			t.Wrong(t.At(n, "values"), "operator %s takes no values", e.Operator)
			return false
		}
	default:
		t.Wrong(t.At(n, "operator"), "operator %q: want In, NotIn, Exists or DoesNotExist", e.Operator)
		return false
	}
	return true
}

// portNumber reads 1 to 65535.
func portNumber(s string) (uint32, bool) {
	number, err := strconv.ParseUint(s, 10, 16)
	return uint32(number), err == nil && number > 0
}

// numbers reads one number or a range, "first-last".
func numbers(text string, read func(string) (uint32, bool)) (first, last uint32, ok bool) {
	low, high, isRange := strings.Cut(text, "-")
	if first, ok = read(low); !isRange || !ok {
		return first, first, ok
	}
	last, ok = read(high)
	return first, last, ok && first <= last
}

// block reads an address block; a single address is a block of one.
func (t *translator) block(v *load.Node, key string) (string, bool) {
	if a, err := netip.ParseAddr(v.Text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()).String(), true
	}
	p, err := netip.ParsePrefix(v.Text)
	if err != nil {
		if !translate.Placeholder(v.Text) {
			t.Wrong(v.Span, "%s %q is no address block: write it as 10.0.0.0/8 or 2001:db8::/32", key, v.Text)
		}
		return "", false
	}
	return p.Masked().String(), true
}
