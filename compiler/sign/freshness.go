package sign

import (
	"fmt"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Freshness says, for a short time, which release is current. It is signed
// online; who steals its key can freeze agents, not feed them.
type Freshness struct {
	SchemaVersion        uint64          `json:"schemaVersion"`
	MeshID               string          `json:"meshId"`
	Audience             Audience        `json:"audience"`
	SequenceEpoch        uint64          `json:"sequenceEpoch"`
	Counter              uint64          `json:"counter"`
	CurrentSequence      uint64          `json:"currentSequence"`
	CurrentReleaseDigest artifact.Digest `json:"currentReleaseDigest"`
	RootVersion          uint64          `json:"rootVersion"`
	IssuedAt             Time            `json:"issuedAt"`
	ExpiresAt            Time            `json:"expiresAt"`
}

// SignFreshness returns the envelope of a freshness document.
func SignFreshness(f Freshness, signers ...*Signer) ([]byte, error) {
	f.SchemaVersion = schemaVersion
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("signing freshness: %w", err)
	}
	return seal(freshnessType, f, signers)
}

func (f *Freshness) check() error {
	if err := checkHeader(f.SchemaVersion, f.MeshID); err != nil {
		return err
	}
	switch {
	case f.Counter == 0 || f.CurrentSequence == 0 || f.RootVersion == 0:
		return fmt.Errorf("counter, currentSequence and rootVersion start at 1")
	case f.CurrentReleaseDigest.IsZero():
		return fmt.Errorf("currentReleaseDigest is missing")
	case f.IssuedAt.IsZero() || !f.IssuedAt.Before(f.ExpiresAt.Time):
		return fmt.Errorf("issuedAt and expiresAt must be given, in order")
	}
	return checkInteger(f.Counter, f.CurrentSequence, f.SequenceEpoch, f.RootVersion)
}
