package sign

import (
	"encoding/json"
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// State is what an agent must remember for the next verification, durably and
// before it acts on the release. The zero State is that of a new agent.
type State struct {
	RootVersion uint64 `json:"rootVersion"`

	// The high-water mark: the newest release verified, in service or not.
	Epoch    uint64          `json:"epoch"`
	Sequence uint64          `json:"sequence"`
	Release  artifact.Digest `json:"release,omitzero"` // of the document's payload

	// IssuedAt is the newest time signed by a trusted key: it is not earlier
	// than that, whatever the clock says.
	IssuedAt Time `json:"issuedAt"`

	FreshnessEpoch   uint64          `json:"freshnessEpoch"`
	FreshnessCounter uint64          `json:"freshnessCounter"`
	Freshness        artifact.Digest `json:"freshness,omitzero"`
	FreshUntil       Time            `json:"freshUntil"`

	Gaps uint64 `json:"gaps"` // releases that came after others went missing
}

// hasMark reports whether there is a high-water mark of this epoch.
func (s State) hasMark(epoch uint64) bool { return !s.Release.IsZero() && s.Epoch >= epoch }

// Encode returns the state as a file.
func (s State) Encode() ([]byte, error) { return json.Marshal(s) }

// DecodeState reads what [State.Encode] writes. A state that does not read is
// not a new agent's: the agent must stop and say so.
func DecodeState(data []byte) (State, error) {
	var s State
	if err := artifact.DecodeJSON(data, &s); err != nil {
		return State{}, fmt.Errorf("reading the high-water mark: %w", err)
	}
	return s, nil
}
