package artifact

import (
	"fmt"
	"slices"
)

// Inputs are the facts that a release was made from. All of them are the same
// on every machine: the digest of the compiler's binary is not among them.
type Inputs struct {
	Source   Digest `json:"source,omitzero"` // of the policy files, names and contents
	Compiler string `json:"compiler,omitempty"`
	Schema   Digest `json:"schema,omitzero"`
	Flags    Digest `json:"flags,omitzero"`
	EnvoyAPI string `json:"envoyApi,omitempty"`
}

// Names of blobs that are not leaves' own.
const (
	// TrustBundle is the shared blob with the X.509 roots, PEM.
	TrustBundle = "trust-bundle"
	// SourceMap is the auxiliary blob from rule id to file and line.
	SourceMap = "source-map"
	// CheckedMesh is the auxiliary blob with the canonical checked mesh.
	CheckedMesh = "checked-mesh"
	// Discovery is the auxiliary blob that says where the endpoints of each EDS
	// cluster are found; see [DecodeDiscovery].
	Discovery = "discovery"
)

// A Release is everything compiled from one commit, in memory, immutable.
// Releases share the blobs that they have in common.
type Release struct {
	leaves []Leaf // by key
	tree   *Tree
	blobs  map[Digest][]byte
	lists  map[Digest]*List
	slices map[Digest][]Digest
	shared map[string]Digest
	aux    map[string]Digest
	inputs Inputs

	manifest []byte
	digest   Digest
	envelope []byte
}

// Digest returns the digest of the manifest, which names every blob of the
// release: the content's identity, which no key is needed for.
func (r *Release) Digest() Digest { return r.digest }

// Manifest returns the manifest's bytes, which must not be changed.
func (r *Release) Manifest() []byte { return r.manifest }

// Inputs returns what the release was made from.
func (r *Release) Inputs() Inputs { return r.inputs }

// Leaves returns the leaves in the order of the tree. The caller must not
// change them.
func (r *Release) Leaves() []Leaf { return r.leaves }

// Tree returns the Merkle tree over the leaves.
func (r *Release) Tree() *Tree { return r.tree }

// Blob returns the blob with digest d, which must not be changed.
func (r *Release) Blob(d Digest) ([]byte, bool) {
	data, ok := r.blobs[d]
	return data, ok
}

// Shared returns the digest of the named blob that every agent gets.
func (r *Release) Shared(name string) (Digest, bool) {
	d, ok := r.shared[name]
	return d, ok
}

// Aux returns the named blob that stays with the release and is sent to no
// proxy.
func (r *Release) Aux(name string) ([]byte, bool) {
	d, ok := r.aux[name]
	return r.blobs[d], ok
}

// AuxBlob is Aux with its digest, for a later release that has the same.
func (r *Release) AuxBlob(name string) (Blob, bool) {
	d, ok := r.aux[name]
	return Blob{d, r.blobs[d]}, ok
}

// Envelope returns the signed document, nil in a release that is not signed.
func (r *Release) Envelope() []byte { return r.envelope }

// WithEnvelope returns the same release with its signed document, which this
// package does not look into.
func (r *Release) WithEnvelope(envelope []byte) *Release {
	signed := *r
	signed.envelope = slices.Clone(envelope)
	return &signed
}

// Lookup returns the leaf with key k and its place in the tree.
func (r *Release) Lookup(k Key) (leaf Leaf, index int64, ok bool) {
	i, ok := slices.BinarySearchFunc(r.leaves, k, func(l Leaf, k Key) int { return l.Key().Compare(k) })
	if !ok {
		return Leaf{}, 0, false
	}
	return r.leaves[i], int64(i), true
}

// Prove returns the leaf with key k and the proof that the release holds it.
func (r *Release) Prove(k Key) (Inclusion, error) {
	leaf, i, ok := r.Lookup(k)
	if !ok {
		return Inclusion{}, fmt.Errorf("the release has no leaf for %s", k)
	}
	proof, err := r.tree.Prove(i)
	return Inclusion{Leaf: leaf, Index: i, Proof: proof}, err
}

// Closure returns the digests of every blob that leaf needs, the shared ones
// among them, sorted. An agent that holds them all needs nothing more.
func (r *Release) Closure(leaf Leaf) []Digest {
	var out []Digest
	for _, d := range leaf.digests() {
		if !d.IsZero() {
			out = append(out, d)
		}
	}
	for _, d := range r.shared {
		out = append(out, d)
	}
	for _, list := range r.slices[leaf.Slice] {
		out = append(out, list)
		for _, ref := range r.lists[list].refs {
			out = append(out, ref.Digest)
		}
	}
	slices.SortFunc(out, Digest.Compare)
	return slices.Compact(out)
}

// A View is everything that one workload's agents need of a release.
type View struct {
	Inclusion
	Size  int64    // of the tree
	Blobs []Digest // see [Release.Closure]
}

// View returns the view for key k.
func (r *Release) View(k Key) (View, error) {
	in, err := r.Prove(k)
	if err != nil {
		return View{}, err
	}
	return View{Inclusion: in, Size: r.tree.size, Blobs: r.Closure(in.Leaf)}, nil
}

// Resources returns the resources of a leaf's slice, ordered by list and then
// by type and name.
func (r *Release) Resources(leaf Leaf) []Resource {
	var out []Resource
	for _, list := range r.slices[leaf.Slice] {
		out = append(out, r.lists[list].Resources()...)
	}
	return out
}
