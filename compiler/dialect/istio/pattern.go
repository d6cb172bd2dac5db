package istio

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/translate"
	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

func hasLower(s string) bool { return strings.ContainsFunc(s, unicode.IsLower) }

// wildcard reads Istio's patterns: "x", "x*", "*x", and "*" for any value that
// is present. A * elsewhere is a letter like any other.
func wildcard(v *load.Node) mesh.StringMatch {
	m := mesh.StringMatch{Value: v.Text, Span: v.Span}
	switch {
	case v.Text == "*":
		m.Kind, m.Value = mesh.Present, ""
	case strings.HasPrefix(v.Text, "*"):
		m.Kind, m.Value = mesh.Suffix, v.Text[1:]
	case strings.HasSuffix(v.Text, "*"):
		m.Kind, m.Value = mesh.Prefix, strings.TrimSuffix(v.Text, "*")
	}
	return m
}

// pattern reads a value that has no * of its own, so that one in the middle is a
// mistake: the rule would never match.
func (t *translator) pattern(v *load.Node, key string) (mesh.StringMatch, bool) {
	m := wildcard(v)
	switch {
	case v.Text == "":
		t.Wrong(v.Span, "%s has an empty value, which nothing matches", key)
		return m, false
	case strings.Contains(m.Value, "*"):
		d := t.Wrong(v.Span, "%s %q: a * is a wildcard only at the beginning or the end, not at both, and a letter elsewhere: nothing matches this", key, v.Text)
		if key == "paths" || key == "notPaths" {
			d.SetFix("write {*} for one segment of a path and {**} for the rest")
		}
		return m, false
	}
	return m, true
}

func (t *translator) patterns(n *load.Node, key string) []mesh.StringMatch {
	var out []mesh.StringMatch
	for _, v := range n.TextsOf(key) {
		if m, ok := t.pattern(v, key); ok {
			out = append(out, m)
		}
	}
	return out
}

// paths are compared with the path without its query.
func (t *translator) paths(n *load.Node, key string) []mesh.StringMatch {
	var out []mesh.StringMatch
	for _, v := range n.TextsOf(key) {
		if strings.ContainsAny(v.Text, "{}") {
			if t.template(v, key) {
				out = append(out, mesh.StringMatch{Kind: mesh.Template, Value: v.Text, Span: v.Span})
			}
			continue
		}
		m, ok := t.pattern(v, key)
		if !ok {
			continue
		}
		if why := neverPath(m.Value); why != "" && (m.Kind != mesh.Suffix || strings.ContainsAny(m.Value, "?#")) {
			t.Wrong(v.Span, "%s %q: nothing matches this, %s", key, v.Text, why)
			continue
		}
		out = append(out, m)
	}
	return out
}

// template checks a path with {*} for one segment and {**} for what is left, as
// Istio's webhook does (Envoy's uri_template).
func (t *translator) template(v *load.Node, key string) bool {
	why := ""
	rest := false
	if !strings.HasPrefix(v.Text, "/") {
		why = "a path begins with /"
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(v.Text, "/"), "/") {
		switch {
		case segment == "{*}" && !rest || segment == "{**}" && !rest:
			rest = segment == "{**}"
		case segment == "{*}" || segment == "{**}":
			why = "nothing but text may follow {**}"
		case strings.ContainsAny(segment, "{}*"):
			why = "write {*} for one whole segment and {**} for the rest, and no other * or braces"
		}
	}
	if why != "" {
		t.Wrong(v.Span, "%s %q: %s", key, v.Text, why)
	}
	return why == ""
}

// blocks reads address blocks; a single address is a block of one, and host bits
// are ignored, as Envoy does.
func (t *translator) blocks(list []*load.Node, key string) []string {
	var out []string
	for _, v := range list {
		if a, err := netip.ParseAddr(v.Text); err == nil && a.Zone() == "" {
			out = append(out, netip.PrefixFrom(a, a.BitLen()).String())
			continue
		}
		p, err := netip.ParsePrefix(v.Text)
		if err != nil {
			if translate.Placeholder(v.Text) {
				continue
			}
			t.Wrong(v.Span, "%s %q is no address block: write it as 10.0.0.0/8 or 2001:db8::/32", key, v.Text)
			continue
		}
		out = append(out, p.Masked().String())
	}
	return out
}

// intersect keeps what both lists have; an empty list is everything.
func intersect(a, b []uint32) []uint32 {
	if len(a) == 0 {
		return b
	}
	return slices.DeleteFunc(slices.Clone(a), func(p uint32) bool { return !slices.Contains(b, p) })
}
