package reach

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

var strict = &check.Settings{TrustDomain: "td", MergeSlashes: true, RejectEscapedSlashes: true}

// random makes small rules, so that enumeration meets every one of their atoms.
type random struct {
	*rand.Rand
	regex bool
}

func newRandom(t *testing.T, regex bool) *random {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return &random{rand.New(rand.NewPCG(seed, 0)), regex}
}

func pick[T any](r *random, from ...T) T { return from[r.IntN(len(from))] }

func (r *random) path() *mesh.StringMatch {
	if r.IntN(6) == 0 {
		return nil
	}
	m := &mesh.StringMatch{
		Kind:  pick(r, mesh.Exact, mesh.Prefix, mesh.SegmentPrefix),
		Value: pick(r, "/", "/a", "/a/", "/ab", "/a/b", "/b", "/b/a"),
	}
	if r.regex && r.IntN(3) == 0 {
		m.Kind, m.Value = mesh.Regex, pick(r, "/a.*", "/(a|b)", "/[ab]+", "/.*b", ".*")
	}
	if r.regex && r.IntN(6) == 0 {
		m.Kind, m.Value = pick(r, mesh.Suffix, mesh.Contains), pick(r, "a", "/b", "b")
	}
	return m
}

func (r *random) value() mesh.StringMatch {
	kind := pick(r, mesh.Exact, mesh.Prefix, mesh.Present)
	if r.regex && r.IntN(3) == 0 {
		return mesh.StringMatch{Kind: mesh.Regex, Value: pick(r, "a*", "[ab]", ".+b")}
	}
	return mesh.StringMatch{Kind: kind, Value: pick(r, "a", "b", "ab")}
}

func (r *random) methods() []mesh.StringMatch {
	var out []mesh.StringMatch
	for _, m := range []string{"GET", "POST"} {
		if r.IntN(3) == 0 {
			out = append(out, mesh.StringMatch{Value: m})
		}
	}
	return out
}

func (r *random) match() mesh.Match {
	m := mesh.Match{Path: r.path(), Methods: r.methods()}
	if r.IntN(2) == 0 {
		m.Headers = []mesh.HeaderMatch{{Name: pick(r, "h", "k"), StringMatch: r.value(), Invert: r.IntN(3) == 0}}
	}
	if r.IntN(6) == 0 {
		m.Query = []mesh.HeaderMatch{{Name: "q", StringMatch: r.value(), Invert: r.IntN(3) == 0}}
	}
	return m
}

func (r *random) rules(n int) []*check.Rule {
	out := make([]*check.Rule, n)
	for i := range out {
		out[i] = &check.Rule{ID: fmt.Sprint(i)}
		for range 1 + r.IntN(2) {
			out[i].Matches = append(out[i].Matches, r.match())
		}
	}
	return out
}

func strings4(alphabet string, n int) []string {
	out := []string{""}
	level := out
	for range n {
		var next []string
		for _, s := range level {
			for _, c := range alphabet {
				next = append(next, s+string(c))
			}
		}
		out, level = append(out, next...), next
	}
	return out
}

// everyRequest over a small alphabet.
func everyRequest() []*message {
	var out []*message
	values := []string{"-", "", "a", "b", "ab", "aa", "x", "bb", "a,b", "ab,b"} // "-": absent; ",": two lines
	for _, path := range strings4("/abx", 4) {
		if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") {
			continue
		}
		for _, method := range []string{"GET", "POST", "PUT"} {
			for _, h := range values {
				for _, k := range []string{"-", "a", "ab", "x"} {
					for _, q := range []string{"", "?q=a", "?q=x", "?q=ab"} {
						m := &message{method: method, path: path, query: q, headers: map[string][]string{}}
						if h != "-" {
							m.headers["h"] = strings.Split(h, ",")
						}
						if k != "-" {
							m.headers["k"] = []string{k}
						}
						out = append(out, m)
					}
				}
			}
		}
	}
	return out
}

func naiveFirst(p *patterns, rules []*check.Rule, m *message) int {
	return slices.IndexFunc(rules, func(r *check.Rule) bool {
		return slices.ContainsFunc(r.Matches, func(x mesh.Match) bool { return p.match(&x, m) })
	})
}

func TestReachableIsBruteForce(t *testing.T) {
	t.Parallel()
	for _, regex := range []bool{false, true} {
		r := newRandom(t, regex)
		requests, p := everyRequest(), newPatterns()
		for range 60 {
			rules := r.rules(2 + r.IntN(5))
			reached := make([]bool, len(rules))
			for _, m := range requests {
				if k := naiveFirst(p, rules, m); k >= 0 {
					reached[k] = true
				}
			}
			table := NewTable(strict, Rules{Rules: rules})
			for k := range rules {
				checkReach(t, p, rules, table, k, reached[k], regex)
			}
		}
	}
}

func checkReach(t *testing.T, p *patterns, rules []*check.Rule, table *Table, k int, reached, regex bool) {
	t.Helper()
	got := table.Reachable(k)
	switch {
	case got.Verdict == Empty && reached:
		t.Fatalf("rule %d of %s: proved unreachable, but it is reached", k, describe(rules))
	case got.Verdict == Unproven && inverts(rules):
		// repeated lines, see holdsForLines
	case got.Verdict != NonEmpty && reached && !regex:
		t.Fatalf("rule %d of %s: %s, but it is reached", k, describe(rules), got.Verdict)
	case got.Verdict == Unproven && !regex:
		t.Fatalf("rule %d of %s: unproven without expressions", k, describe(rules))
	case got.Verdict == NonEmpty && naiveFirst(p, rules, got.Sample.message("")) != k:
		t.Fatalf("rule %d of %s: sample %+v goes elsewhere", k, describe(rules), got.Sample)
	}
	if got.Verdict != Empty || got.Sample == nil {
		return
	}
	if first := naiveFirst(p, rules, got.Sample.message("")); first != got.Taker || first >= k {
		t.Fatalf("rule %d of %s: sample goes to %d, said %d", k, describe(rules), first, got.Taker)
	}
	alone := []*check.Rule{}
	for _, i := range got.Covering {
		alone = append(alone, rules[i])
	}
	again := NewTable(strict, Rules{Rules: append(alone, rules[k])}).Reachable(len(alone))
	if again.Verdict != Empty || len(again.Covering) != len(alone) {
		t.Fatalf("rule %d of %s: %v do not cover it, or are too many", k, describe(rules), got.Covering)
	}
}

func inverts(rules []*check.Rule) bool {
	return slices.ContainsFunc(rules, func(r *check.Rule) bool {
		return slices.ContainsFunc(r.Matches, func(m mesh.Match) bool {
			return slices.ContainsFunc(m.Headers, func(h mesh.HeaderMatch) bool { return h.Invert })
		})
	})
}

func describe(rules []*check.Rule) string {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString("[")
		for _, m := range r.Matches {
			if m.Path != nil {
				fmt.Fprintf(&b, " %s %q", m.Path.Kind, m.Path.Value)
			}
			fmt.Fprintf(&b, " %+v %+v %+v;", m.Methods, m.Headers, m.Query)
		}
		b.WriteString("] ")
	}
	return b.String()
}

func (r *random) source() mesh.Source {
	var s mesh.Source
	switch r.IntN(6) {
	case 0:
		s.ServiceAccounts = []mesh.AccountRef{{Namespace: "n", Name: pick(r, "a", "b")}}
	case 1:
		s.Namespaces = []mesh.StringMatch{{Value: pick(r, "n", "m")}}
	case 2:
		s.NotNamespaces = []mesh.StringMatch{{Value: "n"}}
	case 3:
		s.Meshed = true
	case 4:
		s.Principals = []mesh.StringMatch{{Kind: mesh.Prefix, Value: "spiffe://td/ns/n"}}
	}
	return s
}

func (r *random) operation() mesh.Operation {
	var o mesh.Operation
	if p := r.path(); p != nil {
		o.Paths = []mesh.StringMatch{*p}
	}
	if r.IntN(3) == 0 {
		o.NotPaths = []mesh.StringMatch{{Kind: mesh.Prefix, Value: "/a/"}}
	}
	o.Methods = r.methods()
	if r.IntN(3) == 0 {
		o.Headers = []mesh.HeaderMatch{{Name: "h", StringMatch: r.value(), Invert: r.IntN(2) == 0}}
	}
	return o
}

func (r *random) access() *check.Access {
	rule := func(id string) *mesh.AccessRule {
		a := &mesh.AccessRule{ID: id, From: []mesh.Source{r.source()}, To: []mesh.Operation{r.operation(), r.operation()}}
		if r.IntN(3) == 0 {
			a.ExceptFrom = []mesh.Source{r.source()}
		}
		if r.IntN(3) == 0 {
			a.ExceptTo = []mesh.Operation{r.operation()}
		}
		return a
	}
	a := &check.Access{DefaultAllow: r.IntN(4) == 0}
	for range r.IntN(3) {
		a.Allow = append(a.Allow, rule("allow"))
	}
	for range r.IntN(2) {
		a.Deny = append(a.Deny, rule("deny"))
	}
	return a
}

func TestAccessIsBruteForce(t *testing.T) {
	t.Parallel()
	r := newRandom(t, false)
	j := &judge{newPatterns(), "td"}
	requests := everyRequest()
	callers := []*caller{{}}
	for _, id := range []string{"td/ns/n/sa/a", "td/ns/n/sa/c", "td/ns/m/sa/a", "other/ns/n/sa/a"} {
		callers = append(callers, &caller{identity: "spiffe://" + id})
	}
	for range 60 {
		a, b := r.access(), r.access()
		sets := Allowed(strict, nil, a, b)
		c := Compare(sets[0], sets[1])
		onlyA, onlyB := false, false
		for _, m := range requests {
			for _, who := range callers {
				x, y := j.decide(a, who, m).Decision == Allow, j.decide(b, who, m).Decision == Allow
				onlyA, onlyB = onlyA || x && !y, onlyB || y && !x
			}
		}
		if c.Relation == Unrelated {
			t.Fatalf("unproven without expressions:\n%+v\n%+v", a, b)
		}
		if onlyA && c.OnlyA == nil || onlyB && c.OnlyB == nil {
			t.Fatalf("relation %s, enumeration says only a: %v, only b: %v", c.Relation, onlyA, onlyB)
		}
		for i, p := range []*Sample{c.OnlyA, c.OnlyB} {
			if p == nil {
				continue
			}
			x := j.decide(a, p.caller(), p.message("")).Decision == Allow
			if y := j.decide(b, p.caller(), p.message("")).Decision == Allow; x == y || x != (i == 0) {
				t.Fatalf("witness %d %+v shows no difference", i, p)
			}
		}
	}
}
