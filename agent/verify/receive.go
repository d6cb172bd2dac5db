package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/mesh-compile/mesh-compile/agent/store"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// Codes of the refusals that package sign does not know.
const (
	ReleaseTombstone sign.Code = "release-tombstone" // the workload has no policy any more
	ReleaseInvariant sign.Code = "release-invariant" // signed, and yet not to be served
	ReleaseEnvoy     sign.Code = "release-min-envoy" // needs a later Envoy
)

// Limits of one update, besides those of package sign.
const (
	maxLeaf  = 16 << 10
	maxProof = 40
	maxWaves = 8 // leaf, lists, resources, and room for formats to come
	// maxRelease bounds the blobs of one workload.
	maxRelease = 512 << 20
)

// A Release is verified and complete.
type Release struct {
	*sign.Accepted
	*sign.Loaded
	Record store.Record
}

// Fetch gets blobs by digest from the controller and hands on each, in the
// order asked for.
type Fetch func(ctx context.Context, digests []artifact.Digest, each func([]byte) error) error

// Blobs is where blobs are kept.
type Blobs interface {
	Blob(artifact.Digest) ([]byte, bool)
	PutBlob([]byte) error
}

// Offer reads an update's claims. Nothing is verified by that.
func Offer(u *deliveryv1.Update) (sign.Offer, store.Record, error) {
	record := store.Record{Envelope: u.GetEnvelope(), Leaf: u.GetLeaf(), Index: int64(u.GetIndex())}
	if len(u.GetLeaf()) > maxLeaf || len(u.GetProof()) > maxProof {
		return sign.Offer{}, record, refuse(sign.ReleaseProof, "reading the update: a leaf of %d bytes with a proof of %d hashes: more than any release has",
			len(u.GetLeaf()), len(u.GetProof()))
	}
	for _, raw := range u.GetProof() {
		d, err := digest(raw)
		if err != nil {
			return sign.Offer{}, record, refuse(sign.ReleaseProof, "reading the update's proof: %w", err)
		}
		record.Proof = append(record.Proof, d)
	}
	in, err := record.Inclusion()
	if err != nil {
		return sign.Offer{}, record, refuse(sign.ReleaseProof, "reading the update: %w", err)
	}
	return sign.Offer{Release: record.Envelope, Inclusion: in}, record, nil
}

func digest(raw []byte) (d artifact.Digest, err error) {
	if len(raw) != len(d) {
		return d, fmt.Errorf("a digest of %d bytes, want %d", len(raw), len(d))
	}
	copy(d[:], raw)
	return d, nil
}

// Receive verifies an update in the order of package sign, fetches what is
// missing, and looks at the content. Nothing but blobs is kept.
func Receive(ctx context.Context, v *sign.Verifier, u *deliveryv1.Update, mark sign.State, now time.Time, blobs Blobs, fetch Fetch) (*Release, error) {
	offer, record, err := Offer(u)
	if err != nil {
		return nil, err
	}
	accepted, err := v.Verify(offer, mark, now)
	if err != nil {
		return nil, err
	}
	if err := complete(ctx, accepted, blobs, fetch); err != nil {
		return nil, err
	}
	return load(accepted, record, blobs.Blob)
}

// Restore verifies a stored release again: its signatures under the root of
// today, and the proof. Its age and sequence were judged when it came.
func Restore(root *sign.TrustedRoot, self sign.Self, record store.Record, blobs Blobs) (*Release, error) {
	doc, digest, err := root.OpenRelease(record.Envelope)
	if err != nil {
		return nil, err
	}
	in, err := record.Inclusion()
	if err != nil {
		return nil, err
	}
	want := artifact.Key{SPIFFEID: self.SPIFFEID, Workload: self.Workload}
	if in.Leaf.Key() != want {
		return nil, refuse(sign.ReleaseWrongLeaf, "the stored release is for %s, this is %s", in.Leaf.Key(), want)
	}
	if err := artifact.VerifyInclusion(doc.Merkle.Root, doc.Merkle.Size, in); err != nil {
		return nil, refuse(sign.ReleaseProof, "verifying the stored release: %w", err)
	}
	return load(&sign.Accepted{Release: doc, Digest: digest, Leaf: in.Leaf}, record, blobs.Blob)
}

// complete fetches in waves: what is missing is known from what is there.
func complete(ctx context.Context, a *sign.Accepted, blobs Blobs, fetch Fetch) error {
	total := 0
	for range maxWaves {
		need, err := a.Needs(blobs.Blob)
		if err != nil || len(need) == 0 {
			return err
		}
		err = fetch(ctx, need, func(data []byte) error {
			if total += len(data); total > maxRelease {
				return refuse(sign.ReleaseBlobSize, "fetching release %d: more than %d bytes for one workload", a.Release.Sequence, maxRelease)
			}
			return blobs.PutBlob(data)
		})
		if err != nil {
			return fmt.Errorf("fetching release %d: %w", a.Release.Sequence, err)
		}
	}
	return refuse(sign.ReleaseBlobMissing, "fetching release %d: blobs are missing after %d rounds", a.Release.Sequence, maxWaves)
}

func load(a *sign.Accepted, record store.Record, get artifact.Source) (*Release, error) {
	if a.Leaf.Kind == artifact.Tombstone {
		return nil, refuse(ReleaseTombstone, "release %d has no policy for %s any more; the last one stays in force", a.Release.Sequence, a.Leaf.Key())
	}
	loaded, err := a.Load(get)
	if err != nil {
		return nil, err
	}
	if err := Resources(loaded); err != nil {
		return nil, refuse(ReleaseInvariant, "verifying release %d: %w", a.Release.Sequence, err)
	}
	return &Release{Accepted: a, Loaded: loaded, Record: record}, nil
}

func refuse(code sign.Code, format string, args ...any) error {
	return &sign.Error{Code: code, Err: fmt.Errorf(format, args...)}
}
