package artifact

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A Resource is one xDS resource as it travels. Bytes are the deterministic
// protobuf bytes placed in google.protobuf.Any.value and Digest, which is also
// the xDS version, is theirs; neither may be changed afterwards.
type Resource struct {
	Type   string // type URL
	Name   string
	Digest Digest
	Bytes  []byte
}

// NewResource returns the resource with its digest.
func NewResource(typeURL, name string, data []byte) Resource {
	return Resource{Type: typeURL, Name: name, Digest: DigestOf(data), Bytes: data}
}

// A Ref is a list's entry for one resource.
type Ref struct {
	Type   string
	Name   string
	Digest Digest
	Size   uint64
}

func compareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
}

// A List is an immutable, sorted set of resources that slices share. Keep it
// as long as its resources are unchanged: a [Builder] neither encodes nor
// hashes it again.
type List struct {
	digest Digest
	data   []byte
	refs   []Ref
	bytes  [][]byte // parallel to refs
}

// NewList returns the list of resources, in any order. Two resources with the
// same type and name are an error.
func NewList(resources []Resource) (*List, error) {
	sorted := slices.Clone(resources)
	slices.SortFunc(sorted, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	l := &List{refs: make([]Ref, len(sorted)), bytes: make([][]byte, len(sorted))}
	for i, r := range sorted {
		l.refs[i] = Ref{Type: r.Type, Name: r.Name, Digest: r.Digest, Size: uint64(len(r.Bytes))}
		l.bytes[i] = r.Bytes
	}
	data, err := encodeList(l.refs)
	if err != nil {
		return nil, err
	}
	l.data, l.digest = data, DigestOf(data)
	return l, nil
}

// Digest returns the digest of the list's blob.
func (l *List) Digest() Digest { return l.digest }

// Len returns the number of resources.
func (l *List) Len() int { return len(l.refs) }

// Resources returns the resources ordered by type and name.
func (l *List) Resources() []Resource {
	out := make([]Resource, len(l.refs))
	for i, r := range l.refs {
		out[i] = Resource{Type: r.Type, Name: r.Name, Digest: r.Digest, Bytes: l.bytes[i]}
	}
	return out
}

// The first bytes of the two kinds of structural blob. A new layout gets a new
// magic, so that one blob is never read in two ways.
const (
	listMagic  = "mesh-compile list 1\n"
	sliceMagic = "mesh-compile slice 1\n"
)

// encodeList groups sorted refs by type:
//
//	magic { uvarint n>0, type { name, digest, uvarint size } x n } ...
//
// where type and name are a uvarint length and the bytes.
func encodeList(refs []Ref) ([]byte, error) {
	out := append(make([]byte, 0, len(listMagic)+len(refs)*96), listMagic...)
	for i := 0; i < len(refs); {
		n := 1
		for i+n < len(refs) && refs[i+n].Type == refs[i].Type {
			n++
		}
		out = binary.AppendUvarint(out, uint64(n))
		out = appendString(out, refs[i].Type)
		for _, r := range refs[i : i+n] {
			out = appendString(out, r.Name)
			out = append(out, r.Digest[:]...)
			out = binary.AppendUvarint(out, r.Size)
		}
		i += n
	}
	return out, checkRefs(refs)
}

func checkRefs(refs []Ref) error {
	for i, r := range refs {
		switch {
		case r.Type == "" || r.Name == "":
			return fmt.Errorf("resource %d of the list has type %q and name %q: neither may be empty", i, r.Type, r.Name)
		case r.Digest.IsZero():
			return fmt.Errorf("resource %s %q has no digest", r.Type, r.Name)
		case i > 0 && compareRefs(refs[i-1], r) == 0:
			return fmt.Errorf("resource %s %q is in the list twice", r.Type, r.Name)
		case i > 0 && compareRefs(refs[i-1], r) > 0:
			return fmt.Errorf("resource %s %q is out of order", r.Type, r.Name)
		}
	}
	return nil
}

// DecodeList reads a list's blob. It accepts exactly what [NewList] writes.
func DecodeList(data []byte) ([]Ref, error) {
	p := parser{data: data}
	p.magic(listMagic)
	var refs []Ref
	for p.more() {
		n, typ := p.uvarint(), p.string()
		for ; n > 0 && p.err == nil; n-- {
			refs = append(refs, Ref{Type: typ, Name: p.string(), Digest: p.digest(), Size: p.uvarint()})
		}
	}
	if p.err != nil {
		return nil, p.err
	}
	// Writing again finds padded integers, empty groups and split groups.
	again, err := encodeList(refs)
	if err == nil && string(again) != string(data) {
		err = errors.New("the list is not in its canonical encoding")
	}
	if err != nil {
		return nil, err
	}
	return refs, nil
}

// EncodeSlice returns the slice blob that names lists, in any order and each
// once however often it is given.
func EncodeSlice(lists []Digest) []byte {
	sorted := slices.Clone(lists)
	slices.SortFunc(sorted, Digest.Compare)
	sorted = slices.Compact(sorted)
	out := append(make([]byte, 0, len(sliceMagic)+len(sorted)*len(Digest{})), sliceMagic...)
	for _, d := range sorted {
		out = append(out, d[:]...)
	}
	return out
}

// DecodeSlice reads a slice's blob. It accepts exactly what [EncodeSlice]
// writes.
func DecodeSlice(data []byte) ([]Digest, error) {
	p := parser{data: data}
	p.magic(sliceMagic)
	var lists []Digest
	for p.more() {
		d := p.digest()
		if n := len(lists); p.err == nil && n > 0 && lists[n-1].Compare(d) >= 0 {
			return nil, fmt.Errorf("list %s is out of order", d)
		}
		lists = append(lists, d)
	}
	return lists, p.err
}
