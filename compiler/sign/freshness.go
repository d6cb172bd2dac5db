package sign

import (
	"fmt"
	"time"

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
	return nil
}

// checkFreshness verifies the freshness document. Where root has the role, an
// agent without a high-water mark must have one: a mark is all that else
// tells a current release from an old one.
func (v *Verifier) checkFreshness(a *Accepted, envelope []byte, last State, now time.Time) error {
	role := v.root.doc.Roles.Freshness
	if role == nil || envelope == nil {
		switch {
		case last.hasMark(a.Release.SequenceEpoch):
		case role != nil:
			return refuse(FreshnessMissing, "verifying release %d: an agent without a high-water mark needs a freshness document", a.Release.Sequence)
		default:
			a.alarm(AlarmNoFreshness)
		}
		return nil
	}
	s, err := open(freshnessType, envelope)
	if err != nil {
		return err
	}
	if _, err := v.root.meets(freshnessType, s, *role); err != nil {
		return err
	}
	f := &Freshness{}
	if err := s.decode(freshnessType, f); err != nil {
		return err
	}
	if err := v.freshFor(f); err != nil {
		return err
	}
	if err := v.freshAt(f, now); err != nil {
		return err
	}
	return a.freshen(f, s.digest(), last)
}

func (v *Verifier) freshFor(f *Freshness) error {
	switch root := &v.root.doc; {
	case f.MeshID != root.MeshID:
		return freshnessType.refuse("mesh", "it is for mesh %.80q, this one is %q", f.MeshID, root.MeshID)
	case !f.Audience.includes(v.self):
		return freshnessType.refuse("audience", "it is for environment %.80q, clusters %.200q", f.Audience.Environment, f.Audience.Clusters)
	case f.SequenceEpoch != root.SequenceEpoch:
		return freshnessType.refuse("epoch", "it is of epoch %d, the root's is %d", f.SequenceEpoch, root.SequenceEpoch)
	case f.RootVersion > root.Version:
		return freshnessType.refuse("root", "root version %d is current, version %d is known here", f.RootVersion, root.Version)
	}
	return nil
}

func (v *Verifier) freshAt(f *Freshness, now time.Time) error {
	switch root := &v.root.doc; {
	case f.IssuedAt.After(now.Add(root.ClockSkew.Duration())):
		return freshnessType.refuse("not-yet-valid", "issued at %s, it is %s", f.IssuedAt, now)
	case !now.Before(f.ExpiresAt.Time):
		return freshnessType.refuse("expired", "it expired at %s, it is %s", f.ExpiresAt, now)
	case f.ExpiresAt.Sub(f.IssuedAt.Time) > root.MaxFreshnessValidity.Duration():
		return freshnessType.refuse("validity", "it is valid for %s, the root allows %s",
			f.ExpiresAt.Sub(f.IssuedAt.Time), root.MaxFreshnessValidity.Duration())
	}
	return nil
}

// freshen holds the counter to the last one and the release to the sequence
// that is called current: that one, with its digest, or a newer one, which a
// release key has signed since.
func (a *Accepted) freshen(f *Freshness, digest artifact.Digest, last State) error {
	switch older := f.SequenceEpoch == last.FreshnessEpoch && f.Counter < last.FreshnessCounter; {
	case older, f.SequenceEpoch < last.FreshnessEpoch:
		return freshnessType.refuse("rollback", "counter %d, %d was seen before", f.Counter, last.FreshnessCounter)
	case f.SequenceEpoch == last.FreshnessEpoch && f.Counter == last.FreshnessCounter && digest != last.Freshness:
		return freshnessType.refuse("rollback", "counter %d was seen with other content", f.Counter)
	case a.Release.Sequence < f.CurrentSequence,
		a.Release.Sequence == f.CurrentSequence && a.Digest != f.CurrentReleaseDigest:
		return freshnessType.refuse("superseded", "release %d with digest %s is offered, %d with digest %s is current",
			a.Release.Sequence, a.Digest, f.CurrentSequence, f.CurrentReleaseDigest)
	}
	a.Freshness = f
	a.State.FreshnessEpoch, a.State.FreshnessCounter, a.State.Freshness = f.SequenceEpoch, f.Counter, digest
	a.State.FreshUntil = f.ExpiresAt
	a.State.newest(f.IssuedAt)
	return nil
}
