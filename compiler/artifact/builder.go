package artifact

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A Builder assembles one release, with one call of Build. What the previous release already holds is
// found by digest and neither hashed, encoded nor copied again. The order of
// calls does not matter.
type Builder struct {
	prev   *Release
	leaves []Leaf
	known  Release // what was added: blobs and lists
	out    *Release
	get    func(Digest) ([]byte, error) // for what is in neither; may be nil

	disjoint map[[2]Digest]bool // pairs of lists known to share no resource
}

// NewBuilder returns a builder that shares blobs with prev, which may be nil.
func NewBuilder(prev *Release) *Builder {
	if prev == nil {
		prev = &Release{}
	}
	return &Builder{prev: prev, leaves: make([]Leaf, 0, len(prev.leaves)), known: emptyRelease(), disjoint: map[[2]Digest]bool{}}
}

func emptyRelease() Release {
	return Release{
		blobs: map[Digest][]byte{}, lists: map[Digest]*List{}, slices: map[Digest][]Digest{},
		shared: map[string]Digest{}, aux: map[string]Digest{},
	}
}

// AddBlob adds a blob that leaves may name and returns its digest.
func (b *Builder) AddBlob(data []byte) Digest { return b.Add(NewBlob(data)) }

// Add adds a blob whose digest is known.
func (b *Builder) Add(blob Blob) Digest {
	b.known.blobs[blob.digest] = blob.data
	return blob.digest
}

// AddSlice adds the slice made of lists. The digests of the lists' resources
// are trusted, as [NewResource] computed them.
func (b *Builder) AddSlice(lists ...*List) Digest {
	digests := make([]Digest, len(lists))
	for i, l := range lists {
		digests[i] = l.digest
		b.known.lists[l.digest] = l
	}
	data := EncodeSlice(digests)
	d := DigestOf(data)
	b.known.blobs[d] = data
	return d
}

// AddLeaf adds a leaf. What it names must have been added, or be part of the
// previous release, when [Builder.Build] is called.
func (b *Builder) AddLeaf(l Leaf) { b.leaves = append(b.leaves, l) }

// Share adds a named blob that every agent gets.
func (b *Builder) Share(name string, data []byte) { b.known.shared[name] = b.AddBlob(data) }

// Aux adds a named blob that no proxy gets.
func (b *Builder) Aux(name string, blob Blob) { b.known.aux[name] = b.Add(blob) }

// SetInputs records what the release is made from.
func (b *Builder) SetInputs(in Inputs) { b.known.inputs = in }

// Build returns the release. It holds exactly the blobs that its leaves and
// names reach.
func (b *Builder) Build() (*Release, error) {
	out := emptyRelease()
	out.blobs = make(map[Digest][]byte, len(b.prev.blobs)+len(b.known.blobs))
	out.lists = make(map[Digest]*List, len(b.prev.lists)+len(b.known.lists))
	out.slices = make(map[Digest][]Digest, max(len(b.prev.slices), len(b.leaves)))
	out.inputs = b.known.inputs
	b.out = &out
	if err := b.buildLeaves(); err != nil {
		return nil, err
	}
	if err := b.buildNamed(); err != nil {
		return nil, err
	}
	manifest, err := encodeManifest(b.out)
	if err != nil {
		return nil, err
	}
	out.manifest, out.digest = manifest, DigestOf(manifest)
	return b.out, nil
}

func (b *Builder) buildLeaves() error {
	b.out.leaves = b.leaves
	slices.SortFunc(b.out.leaves, func(x, y Leaf) int { return x.Key().Compare(y.Key()) })
	for i := range b.out.leaves {
		l := &b.out.leaves[i]
		if err := l.check(); err != nil {
			return err
		}
		if i > 0 && b.out.leaves[i-1].Key() == l.Key() {
			return fmt.Errorf("leaf %s: the release has two leaves with this key", l.Key())
		}
		if err := b.include(l); err != nil {
			return fmt.Errorf("leaf %s: %w", l.Key(), err)
		}
	}
	tree, err := newTree(b.out.leaves, b.prev)
	b.out.tree = tree
	return err
}

func (b *Builder) buildNamed() error {
	for _, names := range []struct{ from, to map[string]Digest }{
		{b.known.shared, b.out.shared}, {b.known.aux, b.out.aux},
	} {
		for _, name := range slices.Sorted(maps.Keys(names.from)) {
			if name == "" || !printable(name) {
				return fmt.Errorf("blob name %.100q: want printable text", name)
			}
			if err := b.includeBlob(names.from[name], name); err != nil {
				return err
			}
			names.to[name] = names.from[name]
		}
	}
	return nil
}

// include takes everything that a leaf names into the release.
func (b *Builder) include(l *Leaf) error {
	if l.Kind == Tombstone {
		return nil
	}
	if err := b.includeSlice(l.Slice); err != nil {
		return fmt.Errorf("slice %s: %w", l.Slice, err)
	}
	for i, d := range l.digests() {
		if d.IsZero() {
			continue
		}
		if err := b.includeBlob(d, leafDigests[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) includeBlob(d Digest, what string) error {
	if _, ok := b.out.blobs[d]; ok {
		return nil
	}
	data, err := b.find(d)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if len(data) > maxBlobBytes {
		return fmt.Errorf("%s: %w", what, &BlobError{Digest: d, Reason: BlobSize,
			Err: fmt.Errorf("%d bytes, a blob may have %d", len(data), maxBlobBytes)})
	}
	b.out.blobs[d] = data
	return nil
}

// find returns a blob without hashing it: its digest was computed when it was
// added, or is by get.
func (b *Builder) find(d Digest) ([]byte, error) {
	if data, ok := b.known.blobs[d]; ok {
		return data, nil
	}
	if data, ok := b.prev.blobs[d]; ok {
		return data, nil
	}
	if b.get == nil {
		return nil, &BlobError{Digest: d, Reason: BlobMissing}
	}
	data, err := b.get(d)
	if err == nil {
		b.known.blobs[d] = data
	}
	return data, err
}

func (b *Builder) includeSlice(d Digest) error {
	if _, ok := b.out.slices[d]; ok {
		return nil
	}
	lists, checked := b.prev.slices[d]
	if !checked {
		data, err := b.find(d)
		if err != nil {
			return err
		}
		decoded, err := DecodeSlice(data)
		if err != nil {
			return &BlobError{Digest: d, Reason: BlobMalformed, Err: err}
		}
		lists = decoded
	}
	for _, list := range lists {
		if err := b.includeList(list); err != nil {
			return fmt.Errorf("list %s: %w", list, err)
		}
	}
	if !checked {
		if err := b.checkDisjoint(lists); err != nil {
			return err
		}
	}
	b.out.slices[d] = lists
	return nil
}

func (b *Builder) includeList(d Digest) error {
	if _, ok := b.out.lists[d]; ok {
		return nil
	}
	l, err := b.findList(d)
	if err != nil {
		return err
	}
	for i, r := range l.refs {
		if len(l.bytes[i]) > maxBlobBytes {
			return &BlobError{Digest: r.Digest, Reason: BlobSize, Err: errors.New(r.Type + " " + r.Name)}
		}
		b.out.blobs[r.Digest] = l.bytes[i]
	}
	b.out.lists[d], b.out.blobs[d] = l, l.data
	return nil
}

func (b *Builder) findList(d Digest) (*List, error) {
	if l, ok := b.known.lists[d]; ok {
		return l, nil
	}
	if l, ok := b.prev.lists[d]; ok {
		return l, nil
	}
	data, err := b.find(d)
	if err != nil {
		return nil, err
	}
	return loadList(d, data, b.find)
}

// loadList reads a list and finds its resources with get, whose bytes have
// the digest asked for.
func loadList(d Digest, data []byte, get func(Digest) ([]byte, error)) (*List, error) {
	refs, err := DecodeList(data)
	if err != nil {
		return nil, &BlobError{Digest: d, Reason: BlobMalformed, Err: err}
	}
	l := &List{digest: d, data: data, refs: refs, bytes: make([][]byte, len(refs))}
	for i, r := range refs {
		body, err := get(r.Digest)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", r.Type, r.Name, err)
		}
		if uint64(len(body)) != r.Size {
			return nil, &BlobError{Digest: r.Digest, Reason: BlobSize,
				Err: fmt.Errorf("%s %q has %d bytes, its list says %d", r.Type, r.Name, len(body), r.Size)}
		}
		l.bytes[i] = body
	}
	return l, nil
}

// checkDisjoint refuses a slice that names one resource in two lists: which
// of them an agent served would depend on its order of reading. Each pair of
// lists is compared once however many slices share it.
func (b *Builder) checkDisjoint(lists []Digest) error {
	for i, x := range lists {
		for _, y := range lists[i+1:] {
			pair := [2]Digest{x, y}
			if b.disjoint[pair] {
				continue
			}
			if r, ok := overlap(b.out.lists[x], b.out.lists[y]); ok {
				return fmt.Errorf("%s %q is in list %s and in list %s", r.Type, r.Name, x, y)
			}
			b.disjoint[pair] = true
		}
	}
	return nil
}

// overlap returns a resource that both lists name.
func overlap(x, y *List) (Ref, bool) {
	if len(x.refs) > len(y.refs) {
		x, y = y, x
	}
	for _, r := range x.refs {
		if _, found := slices.BinarySearchFunc(y.refs, r, compareRefs); found {
			return r, true
		}
	}
	return Ref{}, false
}
