package reach

import (
	"net/netip"
	"slices"
	"sort"
	"strings"
)

// absent is the atom of a header, parameter, cookie or identity that is not there.
const absent int32 = 0

// dimKind is what of a request a dimension is.
type dimKind uint8

const (
	dimMethod dimKind = iota
	dimPath
	dimAuthority
	dimScheme
	dimHeader
	dimQuery
	dimCookie
	dimIdentity
	dimPeer
	dimClient
	dimOther // something that a Request does not say
)

// dimKey names a dimension.
type dimKey struct {
	kind dimKind
	name string
}

func (k dimKey) optional() bool {
	return k.kind == dimHeader && !strings.HasPrefix(k.name, ":") || k.kind == dimQuery || k.kind == dimCookie || k.kind == dimIdentity
}

// dimension is one part of the request, split into atoms: ranges of the sorted
// strings that no decided predicate can tell apart. Atom i is [cuts[i-1],
// cuts[i]); atom 0 is absence.
type dimension struct {
	key      dimKey
	settings *normalization
	cuts     []string
	full     atomSet  // atoms that a request can have
	samples  []string // by atom, "" and !sampled where none was found
	sampled  []bool
	opaque   []opaqueDim // of this dimension
	prefer   []string    // natural values
}

// opaqueDim is an opaque predicate as a dimension of its own, with the atoms 0
// (does not hold) and 1 (holds).
type opaqueDim struct {
	pred     predicate
	index    int // of the dimension in the space
	examples []string
}

var (
	opaqueFull = atomSet{{0, 2}}
	opaqueNo   = single(0)
	opaqueYes  = single(1)
)

// newDimension cuts the strings at the bounds of the decided predicates.
func newDimension(key dimKey, preds []predicate, n *normalization) *dimension {
	d := &dimension{key: key, settings: n, prefer: preferred[key.kind]}
	cuts := []string{""}
	if r, bounded := key.kind.bounds(); bounded {
		cuts = append(cuts, r.lo, r.hi)
	}
	for _, p := range preds {
		for _, r := range p.ranges() {
			cuts = append(cuts, r.lo)
			if r.hi != "" {
				cuts = append(cuts, r.hi)
			}
		}
	}
	slices.Sort(cuts)
	d.cuts = slices.Compact(cuts)
	d.sample()
	return d
}

// stringRange is [lo, hi) of the sorted strings; hi "" is the end.
type stringRange struct{ lo, hi string }

// ranges of a decided predicate, or of the literal prefix of an opaque one.
func (p predicate) ranges() []stringRange {
	switch p.kind {
	case predExact:
		return []stringRange{{p.value, p.value + "\x00"}}
	case predPrefix:
		return []stringRange{{p.value, after(p.value)}}
	case predSegment:
		if p.value == "" {
			return []stringRange{{"/", "0"}}
		}
		return []stringRange{{p.value, p.value + "\x00"}, {p.value + "/", p.value + "0"}}
	case predRegex:
		prefix := p.literalPrefix()
		return []stringRange{{prefix, after(prefix)}}
	}
	return []stringRange{{"", ""}}
}

// after is the first string behind all that start with prefix, "" where there is none.
func after(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

// atom returns the atom of a value.
func (d *dimension) atom(value string) int32 {
	return int32(sort.Search(len(d.cuts), func(i int) bool { return d.cuts[i] > value }))
}

// set returns the atoms that a predicate may hold for: exactly these for decided ones.
func (d *dimension) set(p predicate) atomSet {
	var out []atomSet
	for _, r := range p.ranges() {
		hi := int32(len(d.cuts)) + 1
		if r.hi != "" {
			hi = d.atom(r.hi)
		}
		out = append(out, atomSet{{d.atom(r.lo), hi}})
	}
	return union(out...).intersect(d.full)
}

func (d *dimension) present() atomSet { return d.full.subtract(single(absent)) }

// sample finds a value for each atom and leaves out of full those that have none.
func (d *dimension) sample() {
	n := len(d.cuts) + 1
	d.samples, d.sampled = make([]string, n), make([]bool, n)
	full := make(atomSet, 0, n)
	if d.key.optional() {
		full = append(full, span{absent, absent + 1})
	}
	for i := 1; i < n; i++ {
		r := stringRange{lo: d.cuts[i-1]}
		if i < n-1 {
			r.hi = d.cuts[i]
		}
		value, found, dead := d.value(r)
		if dead {
			continue
		}
		d.samples[i], d.sampled[i] = value, found
		full = append(full, span{int32(i), int32(i) + 1})
	}
	d.full = union(full)
}

// value looks for a value in a range that a request can have. dead is set where
// there is certainly none.
func (d *dimension) value(r stringRange) (value string, found, dead bool) {
	least, ok := d.least(r.lo)
	if ok && !r.contains(least) || d.outside(r) {
		return "", false, true
	}
	fits := func(v string) bool { return r.contains(v) && d.valid(v) }
	if fits(r.lo) {
		return r.lo, true, false
	}
	base := strings.TrimSuffix(r.lo, "\x00")
	for _, tail := range tails {
		if v := base + tail; fits(v) {
			return v, true, false
		}
	}
	if ok && fits(least) {
		return least, true, false
	}
	only := r.hi == r.lo+"\x00"
	return "", false, only || d.key.kind == dimPath && d.settings.neverNormal(commonPrefix(r))
}

// tails make natural values of the beginning of a range.
var tails = []string{"x", "/x", "a", "1", "-x", "-", "z", "A", "0", "~", "!", ".x", "_", "/"}

func (r stringRange) contains(s string) bool { return s >= r.lo && (r.hi == "" || s < r.hi) }

// bounds are what all values of a kind lie between. An identity is a SPIFFE id:
// sidecars accept no other certificate.
func (k dimKind) bounds() (r stringRange, bounded bool) {
	switch k {
	case dimPath:
		return stringRange{"/", "0"}, true
	case dimIdentity:
		return stringRange{"spiffe://", "spiffe:/0"}, true
	}
	return stringRange{}, false
}

func (d *dimension) outside(r stringRange) bool {
	all, bounded := d.key.kind.bounds()
	return bounded && (r.lo >= all.hi || r.hi != "" && r.hi <= all.lo)
}

// least is the first string from lo on that is made of allowed characters.
func (d *dimension) least(lo string) (string, bool) {
	for i := range len(lo) {
		if d.allowed(lo[i]) {
			continue
		}
		for c := int(lo[i]) + 1; c < 256; c++ {
			if d.allowed(byte(c)) {
				return lo[:i] + string([]byte{byte(c)}), true
			}
		}
		return "", false
	}
	return lo, true
}

// allowed reports whether a character may occur at all.
func (d *dimension) allowed(c byte) bool {
	switch d.key.kind {
	case dimPath:
		return !mustEscape(c) && c != '\\'
	case dimMethod:
		return isUnreserved(c) || strings.IndexByte("!#$%&'*+^`|", c) >= 0
	case dimQuery:
		return c > ' ' && c != 0x7f && c != '&' && c != '#'
	case dimCookie:
		return c > ' ' && c != 0x7f && c != ';' && c != ',' && c != '"'
	}
	return c >= ' ' && c != 0x7f
}

// valid reports whether a request can have the value, with certainty where it
// says yes.
func (d *dimension) valid(v string) bool {
	for i := range len(v) {
		if !d.allowed(v[i]) {
			return false
		}
	}
	switch d.key.kind {
	case dimPath:
		return d.settings.isNormal(v)
	case dimMethod:
		return v != ""
	case dimIdentity:
		id, ok := strings.CutPrefix(v, "spiffe://")
		return ok && id != ""
	case dimHeader:
		return v == strings.TrimSpace(v)
	case dimPeer, dimClient:
		_, err := netip.ParseAddr(v)
		return err == nil
	}
	return d.key.kind != dimOther
}

// commonPrefix is what all strings of a range start with.
func commonPrefix(r stringRange) string {
	lo, hi := r.lo, strings.TrimSuffix(r.hi, "\x00")
	if after(lo) == r.hi {
		return lo
	}
	i := 0
	for i < len(lo) && i < len(hi) && lo[i] == hi[i] {
		i++
	}
	return lo[:i]
}

// preferred values come first in witnesses.
var preferred = map[dimKind][]string{
	dimMethod: {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"},
	dimPath:   {"/", "/x"},
	dimScheme: {"http"},
	dimPeer:   {"127.0.0.1", "10.0.0.1"},
	dimClient: {"127.0.0.1", "10.0.0.1"},
}
