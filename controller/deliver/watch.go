package deliver

import (
	"bytes"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
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
	end := time.NewTimer(time.Until(p.Expires))
	defer end.Stop()
	var sent *published
	for {
		now, changed := s.watch()
		if release := now.of(k); release != sent {
			if err := now.check(k); err != nil {
				return err
			}
			u, err := release.update(k)
			if err != nil {
				return status.Error(codes.Internal, err.Error())
			}
			if err := stream.Send(u); err != nil {
				return err
			}
			sent = release
			continue // what came meanwhile
		}
		select {
		case <-changed:
		case <-s.drained:
			return errDraining
		case <-end.C:
			return expired(p)
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
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
