package native

import (
	"net/netip"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// source reads who calls, for access rules and invariants.
func (t *translator) source(n *load.Node) mesh.Source {
	t.party(n, "anyone")
	t.refuse(n, "jwt", "")
	return mesh.Source{
		ServiceAccounts: t.accounts(n),
		Namespaces:      exactly(n, "namespaces"),
		Principals:      exactly(n, "principals"),
		IPBlocks:        t.blocks(n, "ipBlocks"),
		RemoteIPBlocks:  t.blocks(n, "remoteIpBlocks"),
		Meshed:          n.IsTrue("meshed"),
		Span:            t.At(n, ""),
	}
}

// party checks that the field that means everything stands alone.
func (t *translator) party(n *load.Node, everything string) {
	if f := n.Field(everything); f != nil && len(n.Fields) > 1 {
		t.Wrong(f.KeySpan, "%s stands beside other fields, which it would make meaningless: remove one or the other", everything)
	}
}

func (t *translator) accounts(n *load.Node) []mesh.AccountRef {
	var out []mesh.AccountRef
	for _, item := range n.ItemsOf("serviceAccounts") {
		r := t.ref(item, "name")
		if r.Namespace == "" {
			t.Wrong(item.Span, "namespace is required: a %s has none of its own", t.Kind)
		}
		out = append(out, mesh.AccountRef{Namespace: r.Namespace, Name: r.Name, Span: item.Span})
	}
	return out
}

func exactly(n *load.Node, key string) []mesh.StringMatch {
	var out []mesh.StringMatch
	for _, v := range n.ItemsOf(key) {
		if v.Kind == load.String {
			out = append(out, mesh.StringMatch{Value: v.Text, Span: v.Span})
		}
	}
	return out
}

// blocks reads address blocks; a single address is a block of one.
func (t *translator) blocks(n *load.Node, key string) []string {
	var out []string
	for _, v := range n.ItemsOf(key) {
		if v.Kind != load.String {
			continue
		}
		if a, err := netip.ParseAddr(v.Text); err == nil && a.Zone() == "" {
			out = append(out, netip.PrefixFrom(a, a.BitLen()).String())
			continue
		}
		p, err := netip.ParsePrefix(v.Text)
		switch {
		case err != nil:
			t.Wrong(v.Span, "%s %q is no address block: write it as 10.0.0.0/8 or 2001:db8::/32", key, v.Text)
		case p != p.Masked():
			t.Wrong(v.Span, "%s %q has host bits: write %s for the block, or %s for the address", key, v.Text, p.Masked(), p.Addr())
		default:
			out = append(out, p.String())
		}
	}
	return out
}

// operation reads what is called.
func (t *translator) operation(n *load.Node) mesh.Operation {
	t.party(n, "anything")
	op := mesh.Operation{
		Ports:   ports(n),
		Methods: methods(n),
		Headers: t.valueMatches(n, "headers"),
		Hosts:   hosts(n, "hosts"),
		Span:    t.At(n, ""),
	}
	for _, p := range n.ItemsOf("paths") {
		op.Paths = append(op.Paths, t.pathMatch(p))
	}
	return op
}

// hosts reads names that may begin with "*.".
func hosts(n *load.Node, key string) []mesh.StringMatch {
	out := exactly(n, key)
	for i, h := range out {
		if rest, ok := strings.CutPrefix(h.Value, "*"); ok {
			out[i].Kind, out[i].Value = mesh.Suffix, rest
			if rest == "" {
				out[i].Kind = mesh.Present
			}
		}
	}
	return out
}

func ports(n *load.Node) []uint32 { return numbers(n, "ports") }

func numbers(n *load.Node, key string) []uint32 {
	var out []uint32
	for _, v := range n.ItemsOf(key) {
		if u := unsigned(v); u != nil {
			out = append(out, *u)
		}
	}
	return out
}

// callers reads `from` of a route, which is decided at compile time by the
// calling workload. nil is every caller.
func (t *translator) callers(n *load.Node) []mesh.Caller {
	if n == nil {
		return nil
	}
	t.party(n, "anyone")
	for _, key := range []string{"principals", "ipBlocks", "remoteIpBlocks", "jwt"} {
		t.refuse(n, key, "a route asks who calls by serviceAccounts or namespaces; use an AccessPolicy to refuse callers")
	}
	if n.IsTrue("anyone") {
		return nil
	}
	// meshed: every caller in a sidecar is.
	return []mesh.Caller{{Namespaces: texts(n, "namespaces"), ServiceAccounts: t.accounts(n)}}
}
