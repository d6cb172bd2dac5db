package locality_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/locality"
)

func places(t *testing.T, texts ...string) []locality.Group {
	t.Helper()
	var out []locality.Group
	for _, text := range texts {
		p, ok := locality.Parse(text)
		if !ok {
			t.Fatalf("place %q", text)
		}
		out = append(out, locality.Group{Place: p, Weight: 1})
	}
	return out
}

func TestPriorities(t *testing.T) {
	t.Parallel()
	region, zone := locality.Label{Part: "region"}, locality.Label{Part: "zone"}
	for name, c := range map[string]struct {
		rule   locality.Rule
		caller string
		groups []string
		want   []uint32
	}{
		"near":               {locality.Rule{}, "eu/1/a", []string{"us/1/a", "eu/2", "eu/1/b", "eu/1/a", ""}, []uint32{3, 2, 1, 0, 3}},
		"without gaps":       {locality.Rule{}, "eu/1", []string{"us/1", "eu/2"}, []uint32{1, 0}},
		"unknown caller":     {locality.Rule{}, "", []string{"us/1", "eu/2", ""}, []uint32{0, 0, 0}},
		"failover":           {locality.Rule{Failover: []locality.Failover{{From: "eu", To: "us"}, {From: "eu", To: "asia"}, {From: "us", To: "asia"}}}, "eu/1", []string{"asia/1", "us/1", "af/1", "eu/1"}, []uint32{2, 1, 3, 0}},
		"failover of others": {locality.Rule{Failover: []locality.Failover{{From: "us", To: "asia"}}}, "eu/1", []string{"asia/1", "us/1", "eu/1"}, []uint32{1, 1, 0}},
		"labels":             {locality.Rule{Priority: []locality.Label{region, zone}}, "eu/1", []string{"us/1", "eu/2", "eu/1"}, []uint32{2, 1, 0}},
		"a label's value":    {locality.Rule{Priority: []locality.Label{{Part: "region", Value: "us"}, zone}}, "eu/1", []string{"us/1", "us/2", "eu/1"}, []uint32{0, 1, 2}},
		"labels, then regions": {locality.Rule{Priority: []locality.Label{{Part: "zone", Value: "1"}}, Failover: []locality.Failover{{From: "eu", To: "us"}}}, "eu/1",
			[]string{"us/1", "eu/1", "eu/2", "asia/1"}, []uint32{1, 0, 3, 2}},
	} {
		groups := places(t, c.groups...)
		caller, _ := locality.Parse(c.caller)
		c.rule.Arrange(caller, groups)
		var got []uint32
		for _, g := range groups {
			got = append(got, g.Priority)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestShares: shares hold whatever the number of endpoints, those of one pattern are
// divided by it, and what has none gets nothing.
func TestShares(t *testing.T) {
	t.Parallel()
	rule := locality.Rule{Distribute: []locality.Distribution{
		{From: "us/*", To: []locality.Share{{Place: "us/*", Weight: 100}}},
		{From: "eu/1/*", To: []locality.Share{{Place: "eu/1", Weight: 80}, {Place: "us/*", Weight: 20}, {Place: "af", Weight: 0}}},
	}}
	groups := places(t, "eu/1/a", "us/1", "us/2", "asia/1", "af/1")
	groups[2].Weight = 3
	caller, _ := locality.Parse("eu/1/a")
	rule.Arrange(caller, groups)
	unit := groups[1].Share
	if unit == 0 || groups[0].Share != 16*unit || groups[2].Share != 3*unit || groups[3].Share+groups[4].Share != 0 {
		t.Errorf("shares %+v", groups)
	}
	elsewhere, _ := locality.Parse("asia/1")
	rule.Arrange(elsewhere, groups)
	for _, g := range groups {
		if g.Share != g.Weight {
			t.Errorf("a caller of no distribution: %+v", g)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"eu": true, "eu/1/a": true, "*": true, "eu/*": true, "*/1": true,
		"": false, "eu/": false, "/eu": false, "eu/1/a/b": false, "e*": false, "e u": false, "\u00e9": false, "a\n": false,
	} {
		if got := locality.Pattern(text); got != want {
			t.Errorf("pattern %q: %t", text, got)
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{{"eu", "eu/1", true}, {"*", "eu/1", true}, {"eu/1", "eu/2", false}, {"*/1", "eu/*", true}, {"eu/*/a", "eu/1/b", false}} {
		if got := locality.Overlap(c.a, c.b); got != c.want {
			t.Errorf("%q and %q overlap: %t", c.a, c.b, got)
		}
	}
}
