package artifact

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Key names one leaf of a release.
type Key struct {
	SPIFFEID string
	Workload string // namespace/name
}

// Compare orders keys as the leaves of the tree are ordered.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.SPIFFEID, o.SPIFFEID), cmp.Compare(k.Workload, o.Workload))
}

// String returns the key for messages.
func (k Key) String() string { return k.Workload + " (" + k.SPIFFEID + ")" }

// Kind tells a workload that has a policy from one whose policy was removed.
type Kind string

// The kinds of leaf.
const (
	Live Kind = "live"
	// Tombstone says that the workload has no policy any more. It is signed,
	// so that a controller cannot claim it.
	Tombstone Kind = "tombstone"
)

// Sensitivity says what a proxy does when its release has expired.
type Sensitivity string

// The values of Sensitivity.
const (
	Normal           Sensitivity = "normal"           // keep serving, raise an alarm
	LockdownOnExpiry Sensitivity = "lockdownOnExpiry" // deny all but health
)

// A Leaf binds everything that one workload's proxies obey. Nothing in it
// depends on history.
type Leaf struct {
	SPIFFEID    string      `json:"spiffeId"`
	Workload    string      `json:"workload"`
	Kind        Kind        `json:"kind"`
	Slice       Digest      `json:"slice,omitzero"`
	Bundle      Digest      `json:"bundle,omitzero"` // of the unsigned OPA bundle; none without Rego
	Constraints Digest      `json:"constraints,omitzero"`
	AgentPolicy Digest      `json:"agentPolicy,omitzero"`
	MinEnvoy    string      `json:"minEnvoy,omitempty"`
	Sensitivity Sensitivity `json:"sensitivity"`
}

// Key returns the leaf's key.
func (l Leaf) Key() Key { return Key{l.SPIFFEID, l.Workload} }

// Encode returns the leaf's input to the Merkle tree: nine fields, each a
// 32-bit big-endian length and the bytes. An absent digest has length 0.
func (l Leaf) Encode() []byte { return l.appendTo(make([]byte, 0, 256)) }

func (l *Leaf) appendTo(out []byte) []byte {
	out = appendField(out, l.SPIFFEID)
	out = appendField(out, l.Workload)
	out = appendField(out, string(l.Kind))
	for _, d := range l.digests() {
		out = appendField(out, d.raw())
	}
	out = appendField(out, l.MinEnvoy)
	return appendField(out, string(l.Sensitivity))
}

// DecodeLeaf reads what [Leaf.Encode] writes, and only that.
func DecodeLeaf(data []byte) (Leaf, error) {
	p := parser{data: data}
	l := Leaf{SPIFFEID: string(p.field()), Workload: string(p.field()), Kind: Kind(p.field())}
	for _, d := range []*Digest{&l.Slice, &l.Bundle, &l.Constraints, &l.AgentPolicy} {
		raw := p.field()
		if len(raw) != 0 && len(raw) != len(d) {
			return Leaf{}, fmt.Errorf("reading a leaf: a digest of %d bytes, want %d", len(raw), len(d))
		}
		copy(d[:], raw)
	}
	l.MinEnvoy, l.Sensitivity = string(p.field()), Sensitivity(p.field())
	if p.err != nil {
		return Leaf{}, fmt.Errorf("reading a leaf: %w", p.err)
	}
	if err := l.check(); err != nil {
		return Leaf{}, fmt.Errorf("reading a leaf: %w", err)
	}
	if string(l.Encode()) != string(data) { // trailing bytes, a digest of zeros
		return Leaf{}, fmt.Errorf("reading a leaf: %s is not in its canonical encoding", l.Key())
	}
	return l, nil
}

func (l *Leaf) digests() [4]Digest {
	return [4]Digest{l.Slice, l.Bundle, l.Constraints, l.AgentPolicy}
}

// leafDigests says what each of a leaf's digests is of.
var leafDigests = [4]string{"slice", "bundle", "constraints", "agent policy"}

// raw returns the bytes of d, none for the zero digest.
func (d Digest) raw() string {
	if d.IsZero() {
		return ""
	}
	return string(d[:])
}

// maxKeyPart bounds each half of a key; SPIFFE limits an ID to 2048 bytes.
const maxKeyPart = 2048

func (l *Leaf) check() error {
	switch {
	case !strings.HasPrefix(l.SPIFFEID, "spiffe://") || !printable(l.SPIFFEID):
		return fmt.Errorf("leaf %.100q: not a SPIFFE ID", l.SPIFFEID)
	case l.Workload == "" || !printable(l.Workload):
		return fmt.Errorf("leaf %s: workload %.100q is not a name", l.SPIFFEID, l.Workload)
	case len(l.MinEnvoy) > 64 || !printable(l.MinEnvoy):
		return fmt.Errorf("leaf %s: %.100q is not an Envoy version", l.Key(), l.MinEnvoy)
	case l.Sensitivity != Normal && l.Sensitivity != LockdownOnExpiry:
		return fmt.Errorf("leaf %s: unknown sensitivity %.100q", l.Key(), l.Sensitivity)
	}
	return l.checkKind()
}

func (l *Leaf) checkKind() error {
	switch l.Kind {
	case Live:
		if l.Slice.IsZero() || l.Constraints.IsZero() || l.AgentPolicy.IsZero() {
			return fmt.Errorf("leaf %s: a live leaf needs a slice, constraints and an agent policy", l.Key())
		}
	case Tombstone:
		for _, d := range l.digests() {
			if !d.IsZero() {
				return fmt.Errorf("leaf %s: a tombstone names blob %s", l.Key(), d)
			}
		}
	default:
		return fmt.Errorf("leaf %s: unknown kind %.100q", l.Key(), l.Kind)
	}
	return nil
}

// printable reports whether s is UTF-8 of bounded length without controls, so
// that it means the same to everyone who reads or logs it.
func printable(s string) bool {
	return len(s) <= maxKeyPart && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
