// Package locality decides by where callers and endpoints are.
//
// In: a rule that somebody wrote, the place of a caller, and the places of
// endpoints. Out: priority and weight of each place, as Envoy takes them. Rules are
// signed and the same for all callers; places are live facts. It knows neither
// policies nor Envoy.
package locality

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Place is region, zone and subzone; "" is not known.
type Place [3]string

// Parse reads "region/zone/subzone" or the beginning of it.
func Parse(text string) (Place, bool) {
	var out Place
	parts := strings.Split(text, "/")
	if len(parts) > len(out) || len(text) > maxText || strings.ContainsFunc(text, unprintable) {
		return Place{}, false
	}
	copy(out[:], parts)
	return out, true
}

const maxText = 192

func unprintable(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }

// A Rule says what places mean. Without Distribute, endpoints are preferred that are
// near: by Priority where it is written, else by region, zone and subzone; and
// within that by Failover.
type Rule struct {
	Priority   []Label        `json:"priority,omitempty"`
	Failover   []Failover     `json:"failover,omitempty"`
	Distribute []Distribution `json:"distribute,omitempty"` // the first whose From is the caller's counts
}

// A Label is a part of a place that caller and endpoint share, or with a Value one
// that the endpoint has. Part is "region", "zone" or "subzone".
type Label struct {
	Part  string `json:"part"`
	Value string `json:"value,omitempty"`
}

// A Failover says where callers of a region go when it has nobody healthy. Several
// of one region are in order.
type Failover struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// A Distribution is the shares of places for callers of a place. From and a share's
// place are patterns, with "*" for any part and for what is left out.
type Distribution struct {
	From string  `json:"from"`
	To   []Share `json:"to"`
}

// A Share is a pattern's share of the sum of a distribution.
type Share struct {
	Place  string `json:"place"`
	Weight uint32 `json:"weight"`
}

// Pattern reports whether text is a pattern.
func Pattern(text string) bool {
	parts := strings.Split(text, "/")
	for _, part := range parts {
		if part == "" || part != "*" && strings.ContainsFunc(part, func(r rune) bool { return unprintable(r) || r == '*' || r == ' ' }) {
			return false
		}
	}
	return len(parts) <= len(Place{}) && len(text) <= maxText
}

// Overlap reports whether a place can be of both patterns.
func Overlap(a, b string) bool {
	left, right := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range min(len(left), len(right)) {
		if left[i] != "*" && right[i] != "*" && left[i] != right[i] {
			return false
		}
	}
	return true
}

func (p Place) is(pattern string) bool {
	for i, part := range strings.SplitN(pattern, "/", len(p)) {
		if part != "*" && part != p[i] {
			return false
		}
	}
	return true
}

// A Group is the endpoints of one place.
type Group struct {
	Place  Place
	Weight uint32 // the sum of its endpoints'

	// What Envoy is told. Priorities have no gaps; Share is 0 where nothing is to be
	// sent, and has a meaning only where Weighted is.
	Priority uint32
	Share    uint32
}

// Weighted reports whether shares count.
func (r *Rule) Weighted() bool { return r != nil && len(r.Distribute) > 0 }

// Arrange fills in what a caller's proxy is told of groups. nil: all are equal.
func (r *Rule) Arrange(caller Place, groups []Group) {
	switch {
	case r == nil:
	case r.Weighted():
		r.distribute(caller, groups)
	default:
		r.prioritize(caller, groups)
	}
}

// distribute gives callers of no distribution endpoints wherever they are.
func (r *Rule) distribute(caller Place, groups []Group) {
	for i := range groups {
		groups[i].Share = groups[i].Weight
	}
	k := slices.IndexFunc(r.Distribute, func(d Distribution) bool { return caller.is(d.From) })
	if k < 0 {
		return
	}
	for i := range groups {
		groups[i].Share = 0
	}
	shares := r.Distribute[k].To
	scale := scaleOf(shares, groups)
	for _, s := range shares {
		total := weightOf(s, groups)
		for i := range groups {
			if groups[i].Place.is(s.Place) {
				groups[i].Share = uint32(uint64(s.Weight) * uint64(groups[i].Weight) * scale / total)
			}
		}
	}
}

// scaleOf makes room for the parts of a share that several places divide.
func scaleOf(shares []Share, groups []Group) uint64 {
	sum := uint64(0)
	for _, s := range shares {
		sum += uint64(s.Weight)
	}
	// Envoy sums the weights of a priority's localities in 32 bits
	// (endpoint.v3.LocalityLbEndpoints, load_balancing_weight).
	const room = 1 << 20
	return max(1, min(room, math.MaxUint32/max(1, sum)/2))
}

func weightOf(s Share, groups []Group) uint64 {
	total := uint64(0)
	for _, g := range groups {
		if g.Place.is(s.Place) {
			total += uint64(g.Weight)
		}
	}
	return max(1, total)
}

// prioritize orders groups by how near they are.
func (r *Rule) prioritize(caller Place, groups []Group) {
	ranks := make([]rank, len(groups))
	for i, g := range groups {
		ranks[i] = r.rank(caller, g.Place)
	}
	distinct := slices.CompactFunc(slices.SortedFunc(slices.Values(ranks), rank.compare), func(a, b rank) bool { return a == b })
	for i := range groups {
		at, _ := slices.BinarySearchFunc(distinct, ranks[i], rank.compare)
		groups[i].Priority = uint32(at)
	}
}

// A rank is how far a place is: by labels, then by region.
type rank struct{ labels, region int }

func (a rank) compare(b rank) int {
	return cmp.Or(cmp.Compare(a.labels, b.labels), cmp.Compare(a.region, b.region))
}

// rank: regions count besides labels only where a failover is written, as Istio has
// it (pilot, loadbalancer.go). A caller whose place is not known is near to nobody.
func (r *Rule) rank(caller, place Place) rank {
	var out rank
	if len(r.Priority) > 0 {
		out.labels = r.mismatches(caller, place)
		if len(r.Failover) == 0 {
			return out
		}
	}
	out.region = r.distance(caller, place)
	return out
}

// mismatches counts the labels from the first one that does not hold.
func (r *Rule) mismatches(caller, place Place) int {
	for i, label := range r.Priority {
		part := slices.Index([]string{"region", "zone", "subzone"}, label.Part)
		if part < 0 || cmp.Or(label.Value, caller[part]) != place[part] {
			return len(r.Priority) - i
		}
	}
	return 0
}

// distance is 0 in the caller's subzone, 1 in its zone, 2 in its region, then the
// regions that take over, then the others.
func (r *Rule) distance(caller, place Place) int {
	const otherSubzone, otherZone, otherRegion = 1, 2, 3
	switch {
	case caller == Place{}:
		return 0
	case caller[0] != place[0]:
		return otherRegion + r.takesOver(caller[0], place[0])
	case caller[1] != place[1]:
		return otherZone
	case caller[2] != place[2]:
		return otherSubzone
	}
	return 0
}

// takesOver is the turn of a region among those that take over from another.
func (r *Rule) takesOver(from, to string) int {
	turn := 0
	for _, f := range r.Failover {
		if f.From != from {
			continue
		}
		if f.To == to {
			return turn
		}
		turn++
	}
	return turn
}
