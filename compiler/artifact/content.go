package artifact

import (
	"fmt"
	"slices"
)

// A Source finds a blob by digest, in whatever a reader has of a release.
type Source func(Digest) ([]byte, bool)

// Content is what one leaf names, read and checked.
type Content struct {
	Resources   []Resource // ordered by list and then by type and name
	Bundle      []byte     // the OPA bundle; nil when the leaf names none
	Constraints Constraints
	AgentPolicy AgentPolicy
}

// Load reads everything that a live leaf names from get. Each blob's bytes are
// hashed again, sizes are those of the lists, and no resource is there twice:
// the digest in a verified leaf is all that has to be trusted. The error is a
// [*BlobError] when a blob is at fault.
func Load(leaf Leaf, get Source) (*Content, error) {
	lists, err := loadSlice(leaf.Slice, get)
	if err != nil {
		return nil, err
	}
	c := &Content{}
	for _, l := range lists {
		c.Resources = append(c.Resources, l.Resources()...)
	}
	if !leaf.Bundle.IsZero() {
		if c.Bundle, err = Fetch(leaf.Bundle, get); err != nil {
			return nil, err
		}
	}
	if c.Constraints, err = loadAs(leaf.Constraints, get, DecodeConstraints); err != nil {
		return nil, err
	}
	c.AgentPolicy, err = loadAs(leaf.AgentPolicy, get, DecodeAgentPolicy)
	return c, err
}

// loadSlice reads a slice's lists by way of a builder, which holds slices to
// the same rules wherever they come from.
func loadSlice(d Digest, get Source) ([]*List, error) {
	data, err := Fetch(d, get)
	if err != nil {
		return nil, err
	}
	digests, err := DecodeSlice(data)
	if err != nil {
		return nil, &BlobError{Digest: d, Reason: BlobMalformed, Err: err}
	}
	b := NewBuilder(nil)
	lists := make([]*List, len(digests))
	for i, ld := range digests {
		data, err := Fetch(ld, get)
		if err != nil {
			return nil, err
		}
		if lists[i], err = loadList(ld, data, func(d Digest) ([]byte, error) { return Fetch(d, get) }); err != nil {
			return nil, err
		}
		b.known.lists[ld] = lists[i]
	}
	b.out = &b.known
	if err := b.checkDisjoint(digests); err != nil {
		return nil, &BlobError{Digest: d, Reason: BlobMalformed, Err: err}
	}
	return lists, nil
}

// Fetch returns the blob d from get if the bytes are its own, and a
// [*BlobError] otherwise.
func Fetch(d Digest, get Source) ([]byte, error) {
	data, ok := get(d)
	if !ok {
		return nil, &BlobError{Digest: d, Reason: BlobMissing}
	}
	if len(data) > maxBlobBytes {
		return nil, &BlobError{Digest: d, Reason: BlobSize, Err: fmt.Errorf("%d bytes, a blob may have %d", len(data), maxBlobBytes)}
	}
	if got := DigestOf(data); got != d {
		return nil, &BlobError{Digest: d, Reason: BlobDigest, Err: fmt.Errorf("the content has digest %s", got)}
	}
	return data, nil
}

func loadAs[T any](d Digest, get Source, decode func([]byte) (T, error)) (T, error) {
	var zero T
	data, err := Fetch(d, get)
	if err != nil {
		return zero, err
	}
	v, err := decode(data)
	if err != nil {
		return zero, &BlobError{Digest: d, Reason: BlobMalformed, Err: err}
	}
	return v, nil
}

// Missing returns the digests that a reader of leaf has to fetch next, sorted:
// first the slice and the leaf's own blobs, then the lists, then the
// resources. A blob with other bytes than its own is missing. There are none
// when [Load] has all it needs.
func Missing(leaf Leaf, get Source) ([]Digest, error) {
	wave := map[Digest]bool{}
	need := func(d Digest) []byte {
		data, err := Fetch(d, get)
		if err != nil && !d.IsZero() {
			wave[d] = true
		}
		return data
	}
	for _, d := range leaf.digests() {
		need(d)
	}
	if err := needSlice(leaf.Slice, need); err != nil {
		return nil, err
	}
	out := make([]Digest, 0, len(wave))
	for d := range wave {
		out = append(out, d)
	}
	slices.SortFunc(out, Digest.Compare)
	return out, nil
}

func needSlice(d Digest, need func(Digest) []byte) error {
	data := need(d)
	if data == nil {
		return nil
	}
	lists, err := DecodeSlice(data)
	if err != nil {
		return &BlobError{Digest: d, Reason: BlobMalformed, Err: err}
	}
	for _, ld := range lists {
		data := need(ld)
		if data == nil {
			continue
		}
		refs, err := DecodeList(data)
		if err != nil {
			return &BlobError{Digest: ld, Reason: BlobMalformed, Err: err}
		}
		for _, r := range refs {
			need(r.Digest)
		}
	}
	return nil
}
