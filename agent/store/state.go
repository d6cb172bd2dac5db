package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// encodeState writes the digest of the JSON, a line end, and the JSON. A disk
// that flips a bit of the mark must not look like an older mark.
func encodeState(s State) ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return append([]byte(artifact.DigestOf(body).String()+"\n"), body...), nil
}

func decodeState(data []byte) (State, error) {
	sum, body, _ := bytes.Cut(data, []byte("\n"))
	if artifact.DigestOf(body).String() != string(sum) {
		return State{}, errors.New("the high-water mark is damaged: only a reader of the logs can tell what it was; " +
			"remove the directory to begin anew")
	}
	var s State
	if err := artifact.DecodeJSON(body, &s); err != nil {
		return State{}, fmt.Errorf("reading the high-water mark: %w", err)
	}
	return s, nil
}

// Inclusion returns the record's leaf and proof.
func (r *Record) Inclusion() (artifact.Inclusion, error) {
	leaf, err := artifact.DecodeLeaf(r.Leaf)
	return artifact.Inclusion{Leaf: leaf, Index: r.Index, Proof: r.Proof}, err
}
