package deliver

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// Watch implements deliveryv1.DeliveryServer. Between two sends nothing is kept
// for the agent: when it is ready again, it gets what is live then.
func (s *Server) Watch(r *deliveryv1.WatchRequest, stream deliveryv1.Delivery_WatchServer) error {
	p, err := s.caller(stream.Context())
	if err != nil {
		return err
	}
	k, err := key(p, r.GetWorkload())
	if err != nil {
		return err
	}
	if err := s.current().check(k); err != nil { // before anything is done for the caller
		return err
	}
	if err := s.shown(r.GetEnvelope()); err != nil {
		return err
	}
	defer s.fleet.enter(k, r.GetInstance())()
	w := waiter{Server: s, peer: p, ctx: stream.Context(), end: time.NewTimer(time.Until(p.Expires))}
	defer w.end.Stop()
	var sent *published
	var has artifact.Leaf
	mark := r.GetSequence()
	for {
		now, changed := s.watch()
		release := now.of(k)
		if release == sent || !now.sendable(release, mark) {
			if _, err := w.wait(changed, nil); err != nil {
				return err
			}
			continue
		}
		if err := now.check(k); err != nil {
			return err
		}
		leaf, _, _ := release.Lookup(k)
		if sent != nil && leaf == has {
			if newer, err := w.giveWay(changed); err != nil {
				return err
			} else if newer {
				continue
			}
		}
		u, err := release.update(k)
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		if err := stream.Send(u); err != nil {
			return err
		}
		sent, has, mark = release, leaf, max(mark, release.sequence)
	}
}

// waiter is what ends a Watch.
type waiter struct {
	*Server
	peer peer.Peer
	ctx  context.Context // of the stream
	end  *time.Timer     // of the identity
}

// wait returns when there is something newer or it is later, or why the stream ends.
func (w *waiter) wait(changed <-chan struct{}, later <-chan time.Time) (newer bool, err error) {
	select {
	case <-changed:
		return true, nil
	case <-later:
		return false, nil
	case <-w.drained:
		return false, errDraining
	case <-w.end.C:
		return false, expired(w.peer)
	case <-w.ctx.Done():
		return false, w.ctx.Err()
	}
}

// Agents that a release does not concern, but for its envelope, wait a moment: those
// that it does concern come first, and have the processors to themselves.
const (
	giveWay    = 100 * time.Millisecond
	giveWayPer = 200 * time.Microsecond // for each that watches, by chance
)

func (w *waiter) giveWay(changed <-chan struct{}) (newer bool, err error) {
	later := time.NewTimer(giveWay + rand.N(giveWayPer*time.Duration(w.Watchers()+1)))
	defer later.Stop()
	return w.wait(changed, later.C)
}

// shown hands on the envelope that an agent runs.
func (s *Server) shown(envelope []byte) error {
	if len(envelope) > maxEnvelope {
		return status.Errorf(codes.InvalidArgument, "an envelope of %d bytes, at most %d are read", len(envelope), maxEnvelope)
	}
	if len(envelope) == 0 || s.opt.Shown == nil {
		return nil
	}
	if live := s.Live(); live != nil && bytes.Equal(live.Envelope(), envelope) {
		return nil
	}
	s.opt.Shown(envelope)
	return nil
}

// Fetch implements deliveryv1.DeliveryServer. All digests are looked up before
// the first blob is sent; gRPC's flow control holds back the rest of a stream
// whose reader is slow.
func (s *Server) Fetch(r *deliveryv1.FetchRequest, stream deliveryv1.Delivery_FetchServer) error {
	p, err := s.caller(stream.Context())
	if err != nil {
		return err
	}
	if n := len(r.GetDigests()); n == 0 || n > maxDigests {
		return status.Errorf(codes.InvalidArgument, "%d digests, want 1 to %d", n, maxDigests)
	}
	blobs, err := s.current().blobs(p.ID.String(), r.GetDigests())
	if err != nil {
		return err
	}
	for i, data := range blobs {
		if err := stream.Send(&deliveryv1.Blob{Digest: r.GetDigests()[i], Content: data}); err != nil {
			return err
		}
	}
	return nil
}
