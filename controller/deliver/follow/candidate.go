package follow

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// candidate is a Release whose envelope the root document accepts.
type candidate struct {
	object *v1alpha1.Release
	signed
	envelope []byte
}

// signed is what an envelope says.
type signed struct {
	doc    *sign.ReleaseDoc
	digest artifact.Digest
	err    error
}

func (c *candidate) compare(o *candidate) int {
	return cmp.Or(cmp.Compare(c.doc.SequenceEpoch, o.doc.SequenceEpoch), cmp.Compare(c.doc.Sequence, o.doc.Sequence))
}

// envelopeOf is the signature that was made in CI, or else that of the sign role.
func envelopeOf(r *v1alpha1.Release) []byte {
	if len(r.Spec.Envelope) > 0 {
		return r.Spec.Envelope
	}
	if r.Status.Signature != nil {
		return r.Status.Signature.Envelope
	}
	return nil
}

// maxEnvelope is the protocol's.
const maxEnvelope = 64 << 10

// candidates returns the releases that may be live at a time, newest first, and how
// long it is until there is another, 0 where there is none.
func (f *Follower) candidates(list []v1alpha1.Release, now time.Time) (out []*candidate, next time.Duration) {
	known := map[artifact.Digest]signed{}
	for i := range list {
		envelope := envelopeOf(&list[i])
		if len(envelope) == 0 {
			continue // it waits for its signature
		}
		id := artifact.DigestOf(envelope)
		s, ok := f.known[id]
		if !ok {
			s = f.open(envelope)
			if s.err != nil {
				f.opt.Log.Error("a release is not served: its signature is not accepted", "release", list[i].Name, "error", s.err)
			}
		}
		known[id] = s
		if s.err != nil {
			continue
		}
		if wait := s.doc.NotBefore.Sub(now); wait > 0 {
			if next == 0 || wait < next {
				next = wait
			}
			continue
		}
		out = append(out, &candidate{object: &list[i], signed: s, envelope: envelope})
	}
	f.known = known
	slices.SortStableFunc(out, func(a, b *candidate) int { return cmp.Or(b.compare(a), cmp.Compare(a.object.Name, b.object.Name)) })
	return out, next
}

func (f *Follower) open(envelope []byte) (s signed) {
	if len(envelope) > maxEnvelope {
		s.err = fmt.Errorf("an envelope of %d bytes, at most %d are read", len(envelope), maxEnvelope)
		return s
	}
	s.doc, s.digest, s.err = f.opt.Root.OpenRelease(envelope)
	return s
}
