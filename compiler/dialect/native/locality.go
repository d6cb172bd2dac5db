package native

import (
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/load"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

func (t *translator) byLocality(n *load.Node) *mesh.Locality {
	if n == nil {
		return nil
	}
	l := &mesh.Locality{Span: n.Span}
	switch which(n, "nearest", "failover", "weights") {
	case "failover":
		l.Failover = t.failover(n)
	case "weights":
		l.Distribute = []locality.Distribution{{From: "*", To: t.localityShares(n.Get("weights"))}}
	}
	return l
}

func (t *translator) failover(n *load.Node) []locality.Failover {
	var out []locality.Failover
	seen := map[locality.Failover]source.Span{}
	for _, item := range n.ItemsOf("failover") {
		pair := locality.Failover{From: item.TextOf("from"), To: item.TextOf("to")}
		for _, key := range []string{"from", "to"} {
			if region := item.TextOf(key); !locality.Pattern(region) || strings.Contains(region, "/") {
				t.Wrong(t.At(item, key), "%s %q: want the name of a region", key, region)
			}
		}
		if _, again := seen[pair]; again || pair.From == pair.To {
			t.Wrong(item.Span, "failover from %q to %q says nothing: it stands above, or is the same region", pair.From, pair.To)
		}
		seen[pair] = item.Span
		out = append(out, pair)
	}
	return out
}

// localityShares reads weights by place. Of two places of which one is within the
// other, nobody could say whose share an endpoint has.
func (t *translator) localityShares(n *load.Node) []locality.Share {
	var out []locality.Share
	sum := uint32(0)
	for _, f := range n.Entries() {
		if !locality.Pattern(f.Key) || strings.Contains(f.Key, "*") {
			t.Wrong(f.KeySpan, "locality %q: want region, region/zone or region/zone/subzone", f.Key)
			continue
		}
		for _, other := range out {
			if locality.Overlap(other.Place, f.Key) {
				t.Wrong(f.KeySpan, "locality %q has endpoints of %q: write shares of places that are apart", f.Key, other.Place)
			}
		}
		share := locality.Share{Place: f.Key, Weight: zero(unsigned(f.Value))}
		sum += share.Weight
		out = append(out, share)
	}
	if sum != 100 {
		t.Wrong(n.Span, "the weights sum to %d, want 100", sum)
	}
	return out
}
