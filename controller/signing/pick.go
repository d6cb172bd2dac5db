package signing

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/signer"
)

// view is what the API server knows of releases at one moment.
type view struct {
	releases []v1alpha1.Release
	shown    uint64 // highest sequence that agents have shown to the deliver role
}

// signed is what a Release's envelope says, where our root accepts who signed it.
type signed struct {
	doc    *sign.ReleaseDoc
	digest artifact.Digest
}

// Why a Release is signed, for logs and events.
const (
	whyNew     = "it has no signature"
	whyBehind  = "a release that agents have, or had, has a higher number"
	whyRenewed = "half of its validity has passed"
)

// task is the Release to sign next, if any.
type task struct {
	release *v1alpha1.Release
	why     string
	highest uint64         // of the numbers that are known to be used
	before  *signer.Signed // the signature with that number
	renewAt time.Time      // where there is nothing to sign, when there will be; may be zero
}

// maxClimb bounds how far the deliver role can make numbers rise: they end at 2^53,
// and what agents show is its word alone.
const maxClimb = 1 << 20

// pick finds the newest Release and what is wrong with its signature.
func pick(root *sign.TrustedRoot, v view, now time.Time) task {
	known := map[string]signed{}
	var t task
	for i := range v.releases {
		r := &v.releases[i]
		s, ok := read(root, r)
		if !ok {
			continue
		}
		known[r.Name] = s
		if s.doc.Sequence > t.highest {
			t.highest = s.doc.Sequence
			t.before = &signer.Signed{Doc: s.doc, Digest: s.digest}
		}
	}
	newest := latest(v.releases)
	if newest == nil || newest.Spec.Envelope != nil {
		return t // signed in CI: nobody here could sign it again
	}
	mine, ok := known[newest.Name]
	behind := v.shown > t.highest && v.shown-t.highest <= maxClimb
	if behind {
		t.highest = v.shown
	}
	switch {
	case !ok || mine.doc.ContentDigest.String() != newest.Spec.Content:
		t.release, t.why = newest, whyNew
	case mine.doc.Sequence < t.highest:
		t.release, t.why = newest, whyBehind
	case !now.Before(signer.RenewAt(mine.doc)):
		t.release, t.why = newest, whyRenewed
	default:
		t.renewAt = signer.RenewAt(mine.doc)
	}
	return t
}

// read verifies the envelope of a Release. One of an earlier epoch, or below the
// floor, is none: agents refuse it.
func read(root *sign.TrustedRoot, r *v1alpha1.Release) (signed, bool) {
	envelope := r.Spec.Envelope
	if envelope == nil && r.Status.Signature != nil {
		envelope = r.Status.Signature.Envelope
	}
	doc, digest, err := root.OpenRelease(envelope)
	if err != nil {
		return signed{}, false
	}
	floor := root.Document()
	return signed{doc, digest}, doc.SequenceEpoch == floor.SequenceEpoch && doc.Sequence >= floor.MinReleaseSequence
}

// latest returns the Release that was made last: of the PolicySync that made one
// last, the one with the highest number. Clocks of API servers differ, numbers do
// not.
func latest(releases []v1alpha1.Release) *v1alpha1.Release {
	var sync *v1alpha1.Release
	for i := range releases {
		if r := &releases[i]; sync == nil || r.CreationTimestamp.After(sync.CreationTimestamp.Time) {
			sync = r
		}
	}
	if sync == nil {
		return nil
	}
	var of []*v1alpha1.Release
	for i := range releases {
		if releases[i].Spec.Sync == sync.Spec.Sync && releases[i].DeletionTimestamp == nil {
			of = append(of, &releases[i])
		}
	}
	if len(of) == 0 {
		return nil
	}
	return slices.MaxFunc(of, func(a, b *v1alpha1.Release) int {
		return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a.Name, b.Name))
	})
}

// number is the n of <sync>-<n>, 0 where the name is another.
func number(r *v1alpha1.Release) uint64 {
	text, ok := strings.CutPrefix(r.Name, string(r.Spec.Sync)+"-")
	n, err := strconv.ParseUint(text, 10, 63)
	if !ok || err != nil {
		return 0
	}
	return n
}
