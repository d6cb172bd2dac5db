package artifact

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// MerkleAlg names the tree in signed documents: SHA-256 and the leaf and node
// prefixes of RFC 6962 over [Leaf.Encode].
const MerkleAlg = "sha256-rfc6962-v1"

// A Tree is the Merkle tree over a release's leaves.
type Tree struct {
	size   int64
	root   Digest
	stored []tlog.Hash // by tlog.StoredHashIndex
}

// NewTree returns the tree over leaves in the order given.
func NewTree(leaves []Leaf) (*Tree, error) { return newTree(leaves, &Release{}) }

// newTree takes over the hashes of leaves that prev has.
func newTree(leaves []Leaf, prev *Release) (*Tree, error) {
	t := &Tree{size: int64(len(leaves)), stored: make([]tlog.Hash, 0, tlog.StoredHashCount(int64(len(leaves))))}
	hash := leafHasher(prev)
	for i := range leaves {
		l := &leaves[i]
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), hash(l), tlog.HashReaderFunc(t.read))
		if err != nil {
			return nil, fmt.Errorf("hashing leaf %s: %w", l.Key(), err)
		}
		t.stored = append(t.stored, hashes...)
	}
	root, err := tlog.TreeHash(t.size, tlog.HashReaderFunc(t.read))
	if err != nil {
		return nil, fmt.Errorf("hashing the tree: %w", err)
	}
	t.root = Digest(root)
	return t, nil
}

// leafHasher hashes leaves that are asked for in the order of their keys.
func leafHasher(prev *Release) func(*Leaf) tlog.Hash {
	next := 0
	var encoded []byte
	return func(l *Leaf) tlog.Hash {
		for next < len(prev.leaves) && prev.leaves[next].Key().Compare(l.Key()) < 0 {
			next++
		}
		if next < len(prev.leaves) && prev.leaves[next] == *l {
			return prev.tree.stored[tlog.StoredHashIndex(0, int64(next))]
		}
		encoded = l.appendTo(encoded[:0])
		return tlog.RecordHash(encoded)
	}
}

func (t *Tree) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(t.stored)) {
			return nil, fmt.Errorf("hash %d is not stored", x)
		}
		out[i] = t.stored[x]
	}
	return out, nil
}

// Size returns the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// Root returns the root hash.
func (t *Tree) Root() Digest { return t.root }

// Prove returns the hashes that lead from leaf index to the root.
func (t *Tree) Prove(index int64) ([]Digest, error) {
	proof, err := tlog.ProveRecord(t.size, index, tlog.HashReaderFunc(t.read))
	if err != nil {
		return nil, fmt.Errorf("proving leaf %d of %d: %w", index, t.size, err)
	}
	out := make([]Digest, len(proof))
	for i, h := range proof {
		out[i] = Digest(h)
	}
	return out, nil
}

// An Inclusion is the claim that a tree holds a leaf, with its proof.
type Inclusion struct {
	Leaf  Leaf
	Index int64
	Proof []Digest
}

// VerifyInclusion checks in against the signed size and root of a tree.
func VerifyInclusion(root Digest, size int64, in Inclusion) error {
	proof := make(tlog.RecordProof, len(in.Proof))
	for i, d := range in.Proof {
		proof[i] = tlog.Hash(d)
	}
	err := tlog.CheckRecord(proof, size, tlog.Hash(root), in.Index, tlog.RecordHash(in.Leaf.Encode()))
	if err != nil {
		return fmt.Errorf("leaf %s is not number %d of %d under root %s: %w", in.Leaf.Key(), in.Index, size, root, err)
	}
	return nil
}
