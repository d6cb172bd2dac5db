package deliver

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

// maxUpdate is about how many bytes of endpoints are put into one message; the
// default limit of a gRPC client is 4 MiB.
const maxUpdate = 1 << 20

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
	find func() string
	zone string
	next time.Time // to look
}

const placeInterval = 10 * time.Second

func (p *place) get() string {
	if now := time.Now(); p.zone == "" && !now.Before(p.next) {
		p.zone, p.next = p.find(), now.Add(placeInterval)
	}
	return p.zone
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
	sub := subscription{watch: s.opt.Endpoints.Watch(), place: place{find: func() string { return s.zone(stream.Context()) }}}
	defer sub.watch.Close()
	for {
		rs, changed := s.watch()
		sub.follow(rs.releases)
		select {
		case r := <-requests:
			if sub.key, err = key(p, r.GetWorkload()); err != nil {
				return err
			}
			if err := s.subscribe(&sub, r); err != nil {
				return err
			}
		case <-sub.watch.Changed():
			if err := send(stream, sub.near(sub.watch.Take())); err != nil {
				return err
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

// zone returns where a call comes from.
func (s *Server) zone(ctx context.Context) string {
	address, err := netip.ParseAddr(host(ctx))
	if err != nil || s.opt.Zone == nil {
		return ""
	}
	return s.opt.Zone(address)
}

// near keeps of each cluster the endpoints that the agent's zone is to use, where
// they say so, by the rule of kube-proxy (KEP-2433): all of those that take traffic
// must say, and one of them this zone.
func (sub *subscription) near(changes []endpoints.Change) []endpoints.Change {
	for i := range changes {
		all := changes[i].Endpoints
		if len(all) == 0 || slices.ContainsFunc(all, func(e endpoints.Endpoint) bool { return e.Near == "" && !e.Draining }) {
			continue
		}
		zone := sub.place.get()
		var kept []endpoints.Endpoint
		for _, e := range all {
			if zone != "" && slices.Contains(strings.Split(e.Near, ","), zone) {
				kept = append(kept, e)
			}
		}
		if slices.ContainsFunc(kept, func(e endpoints.Endpoint) bool { return !e.Draining }) {
			changes[i].Endpoints = kept
		}
	}
	return changes
}

// send writes changes in messages of bounded size.
func send(stream deliveryv1.Delivery_WatchEndpointsServer, changes []endpoints.Change) error {
	u, size := &deliveryv1.EndpointsUpdate{}, 0
	for _, c := range changes {
		m := message(c)
		n := proto.Size(m)
		if size > 0 && size+n > maxUpdate {
			if err := stream.Send(u); err != nil {
				return err
			}
			u, size = &deliveryv1.EndpointsUpdate{}, 0
		}
		u.Clusters, size = append(u.Clusters, m), size+n
	}
	if size == 0 {
		return nil
	}
	return stream.Send(u)
}

func message(c endpoints.Change) *deliveryv1.ClusterEndpoints {
	m := &deliveryv1.ClusterEndpoints{Cluster: c.Cluster}
	for _, e := range c.Endpoints {
		m.Endpoints = append(m.Endpoints, &deliveryv1.Endpoint{
			Address: e.Address.String(), Port: e.Port, Locality: e.Locality, Weight: e.Weight, Draining: e.Draining,
		})
	}
	return m
}
