package signer

import (
	"fmt"
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

// DefaultValidity is how long a signature lasts. A release is signed again after
// half of it.
const DefaultValidity = 90 * 24 * time.Hour

// Signer signs the releases of one mesh. It is for one goroutine.
type Signer struct {
	root   *sign.TrustedRoot
	key    *sign.Signer
	ledger *ledger
}

// New returns the signer of a root's mesh, whose numbers are kept in a file. The
// file belongs to one process at a time.
func New(root *sign.TrustedRoot, key *sign.Signer, ledgerFile string) (*Signer, error) {
	if err := CheckKey(root, key); err != nil {
		return nil, err
	}
	doc := root.Document()
	ledger, err := openLedger(ledgerFile, doc.SequenceEpoch, doc.MinReleaseSequence)
	if err != nil {
		return nil, err
	}
	return &Signer{root: root, key: key, ledger: ledger}, nil
}

// CheckKey finds a key that the root does not name for releases, before an agent
// does.
func CheckKey(root *sign.TrustedRoot, key *sign.Signer) error {
	if !slices.Contains(root.Document().Roles.Release.KeyIDs, key.Key().KeyID) {
		return fmt.Errorf("key %.16s is not among the release keys of the root document", key.Key().KeyID)
	}
	return nil
}

// Root returns the root document of the mesh.
func (s *Signer) Root() *sign.TrustedRoot { return s.root }

// Next gives out a sequence number above all that it gave out before, and above
// one that was seen elsewhere.
func (s *Signer) Next(above uint64) (uint64, error) { return s.ledger.next(above) }

// Origin is where a release came from, and who it is for.
type Origin struct {
	Commit, Tree string
	Findings     sign.Findings
	Audience     sign.Audience
	Validity     time.Duration // DefaultValidity where 0; at most what the root allows
}

// A Signed release is one whose document this mesh's root accepts.
type Signed struct {
	Release *artifact.Release
	Doc     *sign.ReleaseDoc
	Digest  artifact.Digest // of the document's payload
}

// Sign signs a release under a number that Next gave out. before is the release
// that was signed last, nil where there is none.
func (s *Signer) Sign(r *artifact.Release, sequence uint64, from Origin, before *Signed, now time.Time) (*Signed, error) {
	envelope, err := sign.SignRelease(s.document(r, sequence, from, before, now), s.key)
	if err != nil {
		return nil, err
	}
	return Check(s.root, r.WithEnvelope(envelope), now)
}

func (s *Signer) document(r *artifact.Release, sequence uint64, from Origin, before *Signed, now time.Time) sign.ReleaseDoc {
	root := s.root.Document()
	doc := sign.Describe(r)
	doc.MeshID, doc.SequenceEpoch, doc.Trust.TrustDomain = root.MeshID, root.SequenceEpoch, root.TrustDomain
	doc.Audience, doc.Sequence = from.Audience, sequence
	// Only of the release directly before: an agent compares it with the one it
	// has when the numbers follow each other.
	if before != nil && before.Doc.SequenceEpoch == root.SequenceEpoch && before.Doc.Sequence+1 == sequence {
		doc.PreviousReleaseDigest = before.Digest
	}
	doc.Source.Commit, doc.Source.Tree = from.Commit, from.Tree
	doc.Analysis.Findings = from.Findings
	validity := from.Validity
	if validity <= 0 {
		validity = DefaultValidity
	}
	validity = min(validity, root.MaxReleaseValidity.Duration())
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.At(now), sign.At(now), sign.At(now.Add(validity))
	return doc
}

// Check verifies a signed release as of some time.
func Check(root *sign.TrustedRoot, r *artifact.Release, now time.Time) (*Signed, error) {
	doc, _, err := sign.CheckRelease(root, r, now)
	if err != nil {
		return nil, fmt.Errorf("checking the signed release: %w", err)
	}
	_, digest, err := root.OpenRelease(r.Envelope())
	if err != nil {
		return nil, err
	}
	return &Signed{Release: r, Doc: doc, Digest: digest}, nil
}

// RenewAt is when a release is to be signed again: half way to its end.
func RenewAt(doc *sign.ReleaseDoc) time.Time {
	return doc.NotBefore.Add(doc.ExpiresAt.Sub(doc.NotBefore.Time) / 2)
}
