package authz

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

var settings = &check.Settings{TrustDomain: "td", MergeSlashes: true, RejectEscapedSlashes: true}

// The alphabet is small, so that rules and requests meet. "" is no identity.
var (
	identities = []string{
		"", "spiffe://td/ns/shop/sa/order", "spiffe://td/ns/shop/sa/catalog",
		"spiffe://td/ns/shopping/sa/order", "spiffe://other/ns/shop/sa/order",
	}
	peers    = []string{"127.0.0.1", "127.0.1.1"}
	forwards = []string{"", "10.1.2.3", "10.1.2.3, 192.168.1.1", "fd00::1", "10.1.2.3, unknown"}
	methods  = []string{"GET", "POST", "PUT"}
	paths    = []string{"/", "/a", "/a/", "/ab", "/a/b", "/A", "/a/b/c", "/b", "/a?q=/b", "/b?", "/%E4"}
	hosts    = []string{"shop.example", "Shop.Example:8080", "shop.example:", "a.shop.example", "shop.example.evil", "[fd00::1]:80"}
	values   = []string{"", "a", "A", "ab", "b", "a,b"}
)

// random makes access rules and requests.
type random struct{ *rand.Rand }

func newRandom(t *testing.T) random {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return random{rand.New(rand.NewPCG(seed, 0))}
}

func pick[T any](r random, from []T) T { return from[r.IntN(len(from))] }

func (r random) chance(oneIn int) bool { return r.IntN(oneIn) == 0 }

// some is mostly nil, else one or two.
func some[T any](r random, oneIn int, make func() T) []T {
	if !r.chance(oneIn) {
		return nil
	}
	out := []T{make()}
	if r.chance(2) {
		out = append(out, make())
	}
	return out
}

func (r random) match(from []string) mesh.StringMatch {
	m := mesh.StringMatch{Value: pick(r, from), IgnoreCase: r.chance(5)}
	switch r.IntN(10) {
	case 0, 1:
		m.Kind = mesh.Prefix
	case 2:
		m.Kind = mesh.Suffix
	case 3:
		m.Kind = mesh.Contains
	case 4:
		m.Kind = mesh.Present
	case 5:
		m.Kind, m.Value = mesh.Regex, pick(r, []string{".*a", "[a-z/]+", "/a|/b", ".*order", "(?i)SHOP.*", "a$"})
	}
	return m
}

func (r random) path() mesh.StringMatch {
	switch r.IntN(4) {
	case 0:
		return mesh.StringMatch{Kind: mesh.SegmentPrefix, Value: pick(r, []string{"/", "/a", "/a/", "/a/b"}), IgnoreCase: r.chance(5)}
	case 1:
		return mesh.StringMatch{Kind: mesh.Template, Value: pick(r, []string{"/{*}", "/a/{id}", "/a/{**}", "/**"})}
	}
	return r.match([]string{"/", "/a", "/a/", "/a/b", "/b", "b"})
}

func (r random) namespace() mesh.StringMatch {
	return mesh.StringMatch{
		Kind:  pick(r, []mesh.MatchKind{mesh.Exact, mesh.Exact, mesh.Prefix, mesh.Suffix, mesh.Contains, mesh.Present}),
		Value: pick(r, []string{"shop", "sh", "ping", "shopping", "op"}), IgnoreCase: r.chance(6),
	}
}

func (r random) block() string {
	return pick(r, []string{"127.0.0.0/24", "127.0.1.1", "10.0.0.0/8", "192.168.1.1/32", "fd00::/8", "0.0.0.0/0", "10.1.2.77/24"})
}

func (r random) account() mesh.AccountRef {
	return mesh.AccountRef{Namespace: pick(r, []string{"shop", "shopping"}), Name: pick(r, []string{"order", "catalog"})}
}

func (r random) source() mesh.Source {
	principal := func() mesh.StringMatch { return r.match(append(identities[1:], "spiffe://td/", "", "order")) }
	return mesh.Source{
		Principals: some(r, 4, principal), NotPrincipals: some(r, 7, principal),
		ServiceAccounts: some(r, 4, r.account), NotServiceAccounts: some(r, 7, r.account),
		Namespaces: some(r, 4, r.namespace), NotNamespaces: some(r, 7, r.namespace),
		IPBlocks: some(r, 7, r.block), NotIPBlocks: some(r, 10, r.block),
		RemoteIPBlocks: some(r, 7, r.block), NotRemoteIPBlocks: some(r, 10, r.block),
		Meshed: r.chance(6),
	}
}

func (r random) header() mesh.HeaderMatch {
	return mesh.HeaderMatch{Name: pick(r, []string{"x-a", "x-b", "host"}), StringMatch: r.match(values), Invert: r.chance(3)}
}

func (r random) operation() mesh.Operation {
	method := func() mesh.StringMatch { return r.match(methods) }
	host := func() mesh.StringMatch {
		return r.match([]string{"shop.example", "SHOP.example:8080", ".example", "[fd00::1]", "[fd00::1]:80", "shop"})
	}
	return mesh.Operation{
		Methods: some(r, 3, method), NotMethods: some(r, 8, method),
		Paths: some(r, 2, r.path), NotPaths: some(r, 6, r.path),
		Hosts: some(r, 5, host), NotHosts: some(r, 8, host),
		Headers: some(r, 4, r.header),
	}
}

func (r random) condition() mesh.Condition {
	kinds := map[string]func() mesh.StringMatch{
		"request.headers[x-a]": func() mesh.StringMatch { return r.match(values) },
		"request.headers[X-B]": func() mesh.StringMatch { return r.match(values) },
		keySourceIP:            func() mesh.StringMatch { return mesh.StringMatch{Value: r.block()} },
		keyRemoteIP:            func() mesh.StringMatch { return mesh.StringMatch{Value: r.block()} },
		keyNamespace:           r.namespace,
		keyPrincipal:           func() mesh.StringMatch { return r.match(identities[1:]) },
	}
	key := pick(r, []string{"request.headers[x-a]", "request.headers[X-B]", keySourceIP, keyRemoteIP, keyNamespace, keyPrincipal})
	return mesh.Condition{Key: key, Values: some(r, 2, kinds[key]), NotValues: some(r, 3, kinds[key])}
}

// exact makes rules that the lookup table takes.
func (r random) exact(id string) *mesh.AccessRule {
	exactly := func(from []string) func() mesh.StringMatch {
		return func() mesh.StringMatch { return mesh.StringMatch{Value: pick(r, from)} }
	}
	rule := &mesh.AccessRule{ID: id}
	for range r.IntN(3) {
		s := mesh.Source{ServiceAccounts: some(r, 2, r.account)}
		if s.ServiceAccounts == nil {
			s.Principals = some(r, 2, exactly(identities[1:]))
		}
		rule.From = append(rule.From, s)
	}
	for range r.IntN(3) {
		rule.To = append(rule.To, mesh.Operation{
			Methods: some(r, 2, exactly(methods)), Paths: some(r, 2, exactly([]string{"/a", "/a/b", "/b"})),
		})
	}
	return rule
}

func (r random) rule(id string) *mesh.AccessRule {
	if r.chance(4) {
		return r.exact(id)
	}
	rule := &mesh.AccessRule{ID: id, When: some(r, 6, r.condition)}
	for range r.IntN(3) {
		rule.From = append(rule.From, r.source())
	}
	for range r.IntN(3) {
		rule.To = append(rule.To, r.operation())
	}
	rule.ExceptFrom = some(r, 3, r.source)
	rule.ExceptTo = some(r, 3, r.operation)
	return rule
}

// inbound makes the rules of a port; ids sort as the rules come.
func (r random) inbound(port uint32) *check.Inbound {
	in := &check.Inbound{Port: port, Protocol: mesh.HTTP}
	for i := range r.IntN(3) {
		in.Access.Deny = append(in.Access.Deny, r.rule(fmt.Sprintf("P/shop/deny/%d", i)))
	}
	for i := range r.IntN(4) {
		in.Access.Allow = append(in.Access.Allow, r.rule(fmt.Sprintf("P/shop/allow/%d", i)))
	}
	in.Access.DefaultAllow = r.chance(4)
	return in
}

// connections makes the rules of a port without requests.
func (r random) connections(port uint32) *check.Inbound {
	in := r.inbound(port)
	in.Protocol = mesh.TCP
	for _, rule := range append(in.Access.Deny, in.Access.Allow...) {
		rule.To, rule.ExceptTo = nil, nil
		rule.When = slices.DeleteFunc(rule.When, func(w mesh.Condition) bool { return strings.HasPrefix(w.Key, "request.") })
	}
	return in
}

// probe is one request.
type probe struct {
	identity, peer, forwarded string
	method, path, host        string
	headers                   map[string][]string
}

func (r random) probe() probe {
	p := probe{
		identity: pick(r, identities), peer: pick(r, peers), forwarded: pick(r, forwards),
		method: pick(r, methods), path: pick(r, paths), host: pick(r, hosts), headers: map[string][]string{},
	}
	for _, name := range []string{"x-a", "x-b"} {
		for r.chance(2) {
			p.headers[name] = append(p.headers[name], pick(r, values))
		}
	}
	if p.forwarded != "" {
		p.headers["x-forwarded-for"] = []string{p.forwarded}
	}
	return p
}

// client is the original client as Envoy sees it.
func (p *probe) client() netip.Addr {
	last := p.forwarded
	for i := len(last) - 1; i >= 0; i-- {
		if last[i] == ' ' {
			last = last[i+1:]
			break
		}
	}
	if addr, err := netip.ParseAddr(last); err == nil {
		return addr
	}
	return netip.MustParseAddr(p.peer)
}
