package sign

import (
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Self is what an agent knows about itself from its own credential and its
// own configuration. None of it comes from a message.
type Self struct {
	SPIFFEID    string
	Workload    string // namespace/name
	Environment string
	Cluster     string
}

// An Offer is what a controller sends: claims, none of them believed yet.
type Offer struct {
	Release   []byte // envelope
	Freshness []byte // envelope, nil where there is none
	Inclusion artifact.Inclusion
}

// An Alarm is a state of affairs that is accepted and that somebody should
// hear about.
type Alarm string

// The alarms.
const (
	// AlarmNoFreshness: this is the agent's first release and nothing shows
	// that it is the current one.
	AlarmNoFreshness Alarm = "no-freshness"
	AlarmGap         Alarm = "sequence-gap"
	// AlarmClock: the clock is behind a time that a trusted key has signed.
	AlarmClock      Alarm = "clock-behind"
	AlarmBreakglass Alarm = "breakglass"
)

// Accepted is a verified release for one workload.
type Accepted struct {
	Release   *ReleaseDoc
	Digest    artifact.Digest // of the document's payload
	SignedBy  []Key
	Freshness *Freshness    // nil where none was offered
	Leaf      artifact.Leaf // may be a tombstone
	State     State         // to be stored before anything is done
	Alarms    []Alarm
}

// A Verifier verifies what one agent is offered. It holds no state: states go
// in and come out as values.
type Verifier struct {
	root *TrustedRoot
	self Self
}

// NewVerifier returns the verifier of one agent.
func NewVerifier(root *TrustedRoot, self Self) *Verifier { return &Verifier{root: root, self: self} }

// Root returns the root in force.
func (v *Verifier) Root() *TrustedRoot { return v.root }

// Verify checks an offer, in this order, which decides the code that a bad
// offer gets: size and envelope, root, signatures, the document, mesh and
// audience, sequence, times, freshness, the leaf. Blobs come after, when they
// have been fetched: see [Accepted.Load].
func (v *Verifier) Verify(offer Offer, last State, now time.Time) (*Accepted, error) {
	a := &Accepted{State: last}
	a.State.RootVersion = v.root.doc.Version
	if now.Before(last.IssuedAt.Time) {
		now = last.IssuedAt.Time
		a.alarm(AlarmClock)
	}
	s, err := open(releaseType, offer.Release)
	if err != nil {
		return nil, err
	}
	if err := v.checkRoot(last, now); err != nil {
		return nil, err
	}
	if a.Release, a.SignedBy, err = v.root.openRelease(s); err != nil {
		return nil, err
	}
	a.Digest = s.digest()
	for _, step := range []func(*Accepted, State, time.Time) error{v.checkAudience, v.checkSequence, v.checkTimes} {
		if err := step(a, last, now); err != nil {
			return nil, err
		}
	}
	if err := v.checkFreshness(a, offer.Freshness, last, now); err != nil {
		return nil, err
	}
	if err := v.checkLeaf(a, offer.Inclusion); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Accepted) alarm(alarm Alarm) { a.Alarms = append(a.Alarms, alarm) }

func (v *Verifier) checkRoot(last State, now time.Time) error {
	root := &v.root.doc
	if root.Version < last.RootVersion {
		return refuse(RootVersion, "verifying root: version %d, version %d was known", root.Version, last.RootVersion)
	}
	if !now.Before(root.ExpiresAt.Time) {
		return refuse(RootExpired, "verifying root: version %d expired at %s", root.Version, root.ExpiresAt)
	}
	return nil
}

// openRelease verifies the signatures, and only then reads the document. The
// class, which is known after that, decides which role must have signed.
func (t *TrustedRoot) openRelease(s *sealed) (*ReleaseDoc, []Key, error) {
	by, err := t.meets(releaseType, s, t.doc.Roles.Release)
	var breakglass []Key
	if role := t.doc.Roles.Breakglass; role != nil {
		if keys, bad := t.meets(releaseType, s, *role); bad == nil {
			breakglass = keys
		}
	}
	if err != nil && breakglass == nil {
		return nil, nil, err
	}
	doc := &ReleaseDoc{}
	if err := s.decode(releaseType, doc); err != nil {
		return nil, nil, err
	}
	if doc.Class == ClassBreakglass {
		by, err = breakglass, nil
	}
	if err != nil || len(by) == 0 {
		return nil, nil, releaseType.refuse("signature", "the class is %s, and the role for it has not signed", doc.Class)
	}
	if doc.MeshID != t.doc.MeshID {
		return nil, nil, releaseType.refuse("mesh", "it is for mesh %.80q, this one is %q", doc.MeshID, t.doc.MeshID)
	}
	return doc, by, nil
}

// OpenRelease verifies an envelope's signatures and mesh and nothing else:
// whether the release is current, and for whom, is not looked at. It tells a
// controller which sequence its own key has signed, however old.
func (t *TrustedRoot) OpenRelease(envelope []byte) (*ReleaseDoc, artifact.Digest, error) {
	s, err := open(releaseType, envelope)
	if err != nil {
		return nil, artifact.Digest{}, err
	}
	doc, _, err := t.openRelease(s)
	if err != nil {
		return nil, artifact.Digest{}, err
	}
	return doc, s.digest(), nil
}

func (v *Verifier) checkAudience(a *Accepted, _ State, _ time.Time) error {
	if !a.Release.Audience.includes(v.self) {
		return refuse(ReleaseAudience, "verifying release %d: it is for environment %.80q, clusters %.200q; this is environment %q, cluster %q",
			a.Release.Sequence, a.Release.Audience.Environment, a.Release.Audience.Clusters, v.self.Environment, v.self.Cluster)
	}
	return nil
}

// checkSequence holds the release to the root's floor and to the high-water
// mark, and moves the mark.
func (v *Verifier) checkSequence(a *Accepted, last State, _ time.Time) error {
	root, doc := &v.root.doc, a.Release
	if doc.SequenceEpoch != root.SequenceEpoch {
		return refuse(ReleaseEpoch, "verifying release %d: it is of epoch %d, the root's is %d", doc.Sequence, doc.SequenceEpoch, root.SequenceEpoch)
	}
	if doc.Sequence < root.MinReleaseSequence {
		return refuse(ReleaseFloor, "verifying release %d: the root takes none below %d", doc.Sequence, root.MinReleaseSequence)
	}
	if last.hasMark(doc.SequenceEpoch) {
		if err := v.checkMark(a, last); err != nil {
			return err
		}
	}
	a.State.Epoch, a.State.Sequence, a.State.Release = doc.SequenceEpoch, doc.Sequence, a.Digest
	if doc.Class == ClassBreakglass {
		a.alarm(AlarmBreakglass)
	}
	return nil
}

func (v *Verifier) checkMark(a *Accepted, last State) error {
	switch doc := a.Release; {
	case doc.SequenceEpoch < last.Epoch || doc.Sequence < last.Sequence:
		return refuse(ReleaseRollback, "verifying release %d of epoch %d: %d of epoch %d was accepted before",
			doc.Sequence, doc.SequenceEpoch, last.Sequence, last.Epoch)
	case doc.Sequence == last.Sequence && a.Digest != last.Release:
		return refuse(ReleaseEquivocates, "verifying release %d: its digest is %s, a release %d with digest %s was accepted before",
			doc.Sequence, a.Digest, last.Sequence, last.Release)
	case doc.Sequence > last.Sequence+1:
		a.State.Gaps++
		a.alarm(AlarmGap)
	case doc.Sequence == last.Sequence+1 && !doc.PreviousReleaseDigest.IsZero() && doc.PreviousReleaseDigest != last.Release:
		return refuse(ReleasePrevious, "verifying release %d: it follows %s, the release before it here is %s",
			doc.Sequence, doc.PreviousReleaseDigest, last.Release)
	}
	return nil
}

func (v *Verifier) checkTimes(a *Accepted, _ State, now time.Time) error {
	doc, skew := a.Release, v.root.doc.ClockSkew.Duration()
	switch {
	case doc.NotBefore.After(now.Add(skew)) || doc.IssuedAt.After(now.Add(skew)):
		return refuse(ReleaseNotYetValid, "verifying release %d: issued at %s, valid from %s, it is %s",
			doc.Sequence, doc.IssuedAt, doc.NotBefore, now)
	case !now.Before(doc.ExpiresAt.Time):
		return refuse(ReleaseExpired, "verifying release %d: it expired at %s, it is %s", doc.Sequence, doc.ExpiresAt, now)
	case doc.ExpiresAt.Sub(doc.NotBefore.Time) > v.root.doc.MaxReleaseValidity.Duration():
		return refuse(ReleaseValidity, "verifying release %d: it is valid for %s, the root allows %s",
			doc.Sequence, doc.ExpiresAt.Sub(doc.NotBefore.Time), v.root.doc.MaxReleaseValidity.Duration())
	}
	a.State.newest(doc.IssuedAt)
	return nil
}

// newest moves the earliest moment that it can be.
func (s *State) newest(t Time) {
	if t.After(s.IssuedAt.Time) {
		s.IssuedAt = t
	}
}

// checkLeaf takes the leaf of this workload and no other, in the signed tree.
func (v *Verifier) checkLeaf(a *Accepted, in artifact.Inclusion) error {
	if want := (artifact.Key{SPIFFEID: v.self.SPIFFEID, Workload: v.self.Workload}); in.Leaf.Key() != want {
		return refuse(ReleaseWrongLeaf, "verifying release %d: the leaf is %.400s's, this is %s", a.Release.Sequence, in.Leaf.Key(), want)
	}
	if err := artifact.VerifyInclusion(a.Release.Merkle.Root, a.Release.Merkle.Size, in); err != nil {
		return refuse(ReleaseProof, "verifying release %d: %w", a.Release.Sequence, err)
	}
	a.Leaf = in.Leaf
	return nil
}

// CheckRelease verifies a whole release, as its publisher or an auditor does:
// the signatures, that it has not expired, and that the signed tree and
// content are those of r. It returns the keys that signed.
func CheckRelease(root *TrustedRoot, r *artifact.Release, now time.Time) (*ReleaseDoc, []Key, error) {
	v := &Verifier{root: root}
	a, err := v.checkWhole(r, State{}, now, v.checkSequence, v.checkTimes)
	if err != nil {
		return nil, nil, err
	}
	return a.Release, a.SignedBy, nil
}

// Check verifies a whole release for who passes it on to agents such as v.self,
// which had the releases of last: what they would refuse is refused. It is
// [CheckRelease], the audience, and the high-water mark.
func (v *Verifier) Check(r *artifact.Release, last State, now time.Time) (*Accepted, error) {
	return v.checkWhole(r, last, now, v.checkAudience, v.checkSequence, v.checkTimes)
}

func (v *Verifier) checkWhole(r *artifact.Release, last State, now time.Time, steps ...func(*Accepted, State, time.Time) error) (*Accepted, error) {
	s, err := open(releaseType, r.Envelope())
	if err != nil {
		return nil, err
	}
	if err := v.checkRoot(last, now); err != nil {
		return nil, err
	}
	a := &Accepted{Digest: s.digest()}
	if a.Release, a.SignedBy, err = v.root.openRelease(s); err != nil {
		return nil, err
	}
	for _, step := range steps {
		if err := step(a, last, now); err != nil {
			return nil, err
		}
	}
	return a, a.Release.describes(r)
}

// describes refuses a document of another release.
func (d *ReleaseDoc) describes(r *artifact.Release) error {
	want := Describe(r)
	if d.Merkle == want.Merkle && d.ContentDigest == want.ContentDigest &&
		d.Trust.BundleDigest == want.Trust.BundleDigest && d.Tombstones == want.Tombstones {
		return nil
	}
	return refuse(ReleaseContent, "verifying release %d: content %s under root %s is signed, the release is %s under %s",
		d.Sequence, d.ContentDigest, d.Merkle.Root, want.ContentDigest, want.Merkle.Root)
}
