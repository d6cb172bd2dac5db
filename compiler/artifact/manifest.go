package artifact

import (
	"bytes"
	"encoding/hex"
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
		Leaves: r.leaves,
	}
	return m.encode()
}

// encode writes what encoding/json would. The leaves are nearly all of it and
// take it most of the time that assembling a release takes.
func (m Manifest) encode() ([]byte, error) {
	leaves := m.Leaves
	m.Leaves = []Leaf{}
	head, err := encodeJSON("the manifest", m)
	if err != nil {
		return nil, err
	}
	const tail = "]}\n" // after the leaves, which are the last field
	out := append(make([]byte, 0, len(head)+len(leaves)*512), bytes.TrimSuffix(head, []byte(tail))...)
	for i := range leaves {
		if i > 0 {
			out = append(out, ',')
		}
		out = leaves[i].appendJSON(out)
	}
	return append(out, tail...), nil
}

func (l *Leaf) appendJSON(out []byte) []byte {
	out = appendJSONString(append(out, `{"spiffeId":`...), l.SPIFFEID)
	out = appendJSONString(append(out, `,"workload":`...), l.Workload)
	out = appendJSONString(append(out, `,"kind":`...), string(l.Kind))
	for i, d := range l.digests() {
		if !d.IsZero() {
			out = append(out, leafDigestFields[i]...)
			out = append(hex.AppendEncode(append(out, digestPrefix...), d[:]), '"')
		}
	}
	if l.MinEnvoy != "" {
		out = appendJSONString(append(out, `,"minEnvoy":`...), l.MinEnvoy)
	}
	out = appendJSONString(append(out, `,"sensitivity":`...), string(l.Sensitivity))
	return append(out, '}')
}

var leafDigestFields = [4]string{`,"slice":"`, `,"bundle":"`, `,"constraints":"`, `,"agentPolicy":"`}

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
	again, err := m.encode()
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
