package artifact

import (
	"bytes"
	"fmt"
)

// Format is the version of the directory's layout, in every manifest.
const Format = "mesh-compile.release.v1"

// A Manifest is the table of contents of a release: deterministic JSON.
type Manifest struct {
	Format string            `json:"format"`
	Inputs Inputs            `json:"inputs"`
	Merkle Merkle            `json:"merkle"`
	Shared map[string]Digest `json:"shared"` // for every agent, by name
	Aux    map[string]Digest `json:"aux"`    // for no agent, by name
	Leaves []Leaf            `json:"leaves"` // in the order of the tree
}

// Merkle is the head of the tree over the leaves.
type Merkle struct {
	Alg  string `json:"alg"`
	Size int64  `json:"size"`
	Root Digest `json:"root"`
}

func encodeManifest(r *Release) ([]byte, error) {
	m := Manifest{
		Format: Format, Inputs: r.inputs, Shared: r.shared, Aux: r.aux,
		Merkle: Merkle{Alg: MerkleAlg, Size: r.tree.size, Root: r.tree.root},
		Leaves: append([]Leaf{}, r.leaves...),
	}
	return encodeJSON("the manifest", m)
}

// DecodeManifest reads a manifest. Whether it is the manifest of the blobs
// beside it is for [Read] to say.
func DecodeManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := DecodeJSON(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	if m.Format != Format {
		return Manifest{}, fmt.Errorf("manifest: format is %.100q, this program reads %q", m.Format, Format)
	}
	again, err := encodeJSON("the manifest", m)
	if err != nil {
		return Manifest{}, err
	}
	if !bytes.Equal(again, data) {
		return Manifest{}, fmt.Errorf("manifest: not in its canonical encoding: byte %d differs", firstDifference(again, data))
	}
	return m, nil
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
