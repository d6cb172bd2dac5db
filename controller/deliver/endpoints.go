package deliver

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

// subscription is what one WatchEndpoints stream asked for.
type subscription struct {
	key    artifact.Key
	asked  []string
	limits []artifact.Digest // the constraints that allowed was made from
	watch  *endpoints.Watch
	place  place
}

// place is where an agent is, which is known when its pod takes traffic for the
// first time.
type place struct {
	find     func() string
	locality string
	next     time.Time // to look
	told     bool
}

const placeInterval = 10 * time.Second

func (p *place) look() {
	if now := time.Now(); p.locality == "" && !now.Before(p.next) {
		p.locality, p.next = p.find(), now.Add(placeInterval)
	}
}

// zone is the name of the zone, which Kubernetes' hints speak of.
func (p *place) zone() string {
	p.look()
	_, rest, _ := strings.Cut(p.locality, "/")
	zone, _, _ := strings.Cut(rest, "/")
	return zone
}

// news is the locality if the agent does not know it yet.
func (p *place) news() string {
	p.look()
	if p.told {
		return ""
	}
	p.told = p.locality != ""
	return p.locality
}

// WatchEndpoints implements deliveryv1.DeliveryServer. A name that the signed
// constraints of the workload do not have is not answered, as one that has no
// endpoints yet; it is when a later release names it.
func (s *Server) WatchEndpoints(stream deliveryv1.Delivery_WatchEndpointsServer) error {
	p, err := s.caller(stream.Context())
	if err != nil {
		return err
	}
	requests, failed := receive(stream)
	end := time.NewTimer(time.Until(p.Expires))
	defer end.Stop()
	pause := time.NewTimer(0) // between two updates
	defer pause.Stop()
	find, stop := s.lookAgain()
	defer stop()
	sub := subscription{watch: s.opt.Endpoints.Watch(), place: place{find: func() string { return s.locality(stream.Context()) }}}
	defer sub.watch.Close()
	rested := false
	for {
		rs, changed := s.watch()
		sub.follow(rs.releases)
		pending := sub.watch.Changed()
		if !rested {
			pending = nil
		}
		select {
		case <-pause.C:
			rested = true
		case r := <-requests:
			if sub.key, err = key(p, r.GetWorkload()); err != nil {
				return err
			}
			if err := s.subscribe(&sub, r); err != nil {
				return err
			}
		case <-pending:
			sent, err := s.send(stream, sub.watch.Take(), &sub.place)
			if err != nil {
				return err
			}
			rested = false
			pause.Reset(min(time.Duration(sent)*pauseForByte, maxPause))
		case <-find:
			if _, err := s.send(stream, nil, &sub.place); err != nil {
				return err
			}
			if sub.place.told {
				find = nil
			}
		case <-changed:
		case err := <-failed:
			return err
		case <-s.drained:
			return errDraining
		case <-end.C:
			return expired(p)
		}
	}
}

// A stream rests after an update in proportion to its size, so that a large service
// whose pods come and go is told of less often, and not to a thousand agents a
// thousand times: 35 ms for 1,000 endpoints.
const (
	pauseForByte = time.Microsecond
	maxPause     = time.Second
)

// receive reads requests until the stream ends. Without a reader the next one
// waits, and so does the client.
func receive(stream deliveryv1.Delivery_WatchEndpointsServer) (<-chan *deliveryv1.EndpointsRequest, <-chan error) {
	requests, failed := make(chan *deliveryv1.EndpointsRequest), make(chan error, 1)
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- r:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return requests, failed
}

func (s *Server) subscribe(sub *subscription, r *deliveryv1.EndpointsRequest) error {
	if n := len(r.GetClusters()); n > maxClusters {
		return status.Errorf(codes.InvalidArgument, "%d clusters, at most %d", n, maxClusters)
	}
	if i := slices.IndexFunc(r.GetClusters(), func(n string) bool { return len(n) > maxName }); i >= 0 {
		return status.Errorf(codes.InvalidArgument, "cluster %d: a name of %d bytes, at most %d", i, len(r.GetClusters()[i]), maxName)
	}
	rs := s.current()
	if err := rs.check(sub.key); err != nil {
		return err
	}
	sub.asked, sub.limits = r.GetClusters(), nil
	if unknown := sub.follow(rs.releases); unknown > 0 {
		s.opt.Log.Debug("endpoints asked for beyond the constraints", "identity", sub.key.SPIFFEID, "workload", sub.key.Workload, "clusters", unknown)
	}
	return nil
}

// follow watches those of the clusters asked for that the constraints have, and
// returns how many they have not. The constraints are read again only when a
// release changed them.
func (sub *subscription) follow(rs releases) (unknown int) {
	limits := rs.constraints(sub.key)
	if sub.limits != nil && slices.Equal(limits, sub.limits) {
		return 0
	}
	sub.limits = append([]artifact.Digest{}, limits...)
	allowed := rs.clusters(limits)
	var names []string
	for _, n := range sub.asked {
		if allowed[n] {
			names = append(names, n)
		}
	}
	sub.watch.Follow(names)
	return len(sub.asked) - len(names)
}

// lookAgain ticks as long as the place of an agent may become known.
func (s *Server) lookAgain() (<-chan time.Time, func()) {
	if s.opt.Locality == nil {
		return nil, func() {}
	}
	ticker := time.NewTicker(placeInterval)
	return ticker.C, ticker.Stop
}

// locality returns where a call comes from.
func (s *Server) locality(ctx context.Context) string {
	address, err := netip.ParseAddr(host(ctx))
	if err != nil || s.opt.Locality == nil {
		return ""
	}
	return s.opt.Locality(address)
}
