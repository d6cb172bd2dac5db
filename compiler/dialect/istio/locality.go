package istio

import (
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// locality reads what places mean. off says that the document switches it off: without
// a word Istio prefers near endpoints wherever there is outlier detection.
func (t *translator) locality(n *load.Node) (l *mesh.Locality, off bool) {
	if n == nil {
		return nil, false
	}
	const one = "Istio takes one of distribute, failover and failoverPriority" // destination_rule.proto
	t.Exclusive(n, "distribute", "failover", one)
	t.Exclusive(n, "distribute", "failoverPriority", one)
	l = &mesh.Locality{Span: n.Span, Rule: locality.Rule{
		Distribute: t.distribute(n), Failover: t.regionFailover(n), Priority: t.failoverPriority(n)}}
	if isFalse(n, "enabled") {
		return nil, true
	}
	return l, false
}

func (t *translator) distribute(n *load.Node) []locality.Distribution {
	var out []locality.Distribution
	seen := map[string]source.Span{}
	for _, item := range n.ItemsOf("distribute") {
		d := locality.Distribution{From: item.TextOf("from")}
		if !locality.Pattern(d.From) {
			t.Wrong(t.At(item, "from"), "from %q: want region/zone/subzone, with * for any part", d.From)
		}
		t.unique(seen, d.From, t.At(item, "from"), "from")
		d.To = t.shares(item)
		out = append(out, d)
	}
	return out
}

// shares reads weights by place. Istio's webhook refuses what does not sum to 100,
// a weight of 0 and places that overlap (ValidateDestinationRule).
func (t *translator) shares(n *load.Node) []locality.Share {
	var out []locality.Share
	sum := uint32(0)
	for _, f := range n.Get("to").Entries() {
		weight := zero(t.count(n.Get("to"), f.Key))
		switch {
		case !locality.Pattern(f.Key):
			t.Wrong(f.KeySpan, "locality %q: want region/zone/subzone, with * for any part", f.Key)
			continue
		case weight == 0 || weight > 100:
			t.Wrong(f.Value.Span, "the weight of %q is %s: want 1 to 100", f.Key, f.Value.Text)
			continue
		}
		for _, other := range out {
			if locality.Overlap(other.Place, f.Key) {
				t.Wrong(f.KeySpan, "locality %q has endpoints of %q: write shares of places that are apart", f.Key, other.Place)
			}
		}
		sum += weight
		out = append(out, locality.Share{Place: f.Key, Weight: weight})
	}
	if sum != 100 {
		t.Wrong(t.At(n, "to"), "the weights sum to %d, want 100", sum)
	}
	return out
}

func (t *translator) regionFailover(n *load.Node) []locality.Failover {
	var out []locality.Failover
	seen := map[string]source.Span{}
	for _, item := range n.ItemsOf("failover") {
		pair := locality.Failover{From: item.TextOf("from"), To: item.TextOf("to")}
		for _, key := range []string{"from", "to"} {
			if region := item.TextOf(key); !locality.Pattern(region) || strings.ContainsAny(region, "/*") {
				t.Wrong(t.At(item, key), "%s %q: want the name of a region", key, region)
			}
		}
		if pair.From == pair.To {
			t.Wrong(item.Span, "failover from region %q to itself", pair.From)
		}
		t.unique(seen, pair.From, t.At(item, "from"), "from")
		out = append(out, pair)
	}
	return out
}

// parts of a place by the labels that Istio gives them.
var parts = map[string]string{
	"topology.kubernetes.io/region": "region", "topology.kubernetes.io/zone": "zone", "topology.istio.io/subzone": "subzone",
}

func (t *translator) failoverPriority(n *load.Node) []locality.Label {
	var out []locality.Label
	for _, item := range n.TextsOf("failoverPriority") {
		key, value, _ := strings.Cut(item.Text, "=")
		label := locality.Label{Part: parts[key], Value: value}
		switch {
		case label.Part == "":
			d := t.Unsupported(item.Span, "failoverPriority by %q is not supported: of an endpoint a proxy knows the place, and no labels", key)
			d.SetFix("write topology.kubernetes.io/region, topology.kubernetes.io/zone or topology.istio.io/subzone")
		case slices.Contains(out, label):
			t.Wrong(item.Span, "failoverPriority has %q twice", item.Text)
		default:
			out = append(out, label)
		}
	}
	return out
}
