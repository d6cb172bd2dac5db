package deliver

import (
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

const (
	// maxUpdate is about how many bytes of endpoints are put into one message; the
	// default limit of a gRPC client is 4 MiB.
	maxUpdate = 1 << 20
	// maxEncodings is how many clusters are kept encoded: what changes now goes to
	// many agents at once.
	maxEncodings = 256
)

// encodings keeps endpoints as they are on the wire, so that a change is encoded
// once and not for each agent.
type encodings struct {
	mu    sync.Mutex
	known map[encodingKey]encoding
}

// encodingKey is a cluster, and the zone that it is for where its endpoints are for
// some zones.
type encodingKey struct{ cluster, zone string }

type encoding struct {
	of    []endpoints.Endpoint
	bytes []byte
}

// is reports whether the encoding is of the very same endpoints: a table replaces
// them and never changes them.
func (e encoding) is(list []endpoints.Endpoint) bool {
	return len(list) > 0 && len(e.of) == len(list) && &e.of[0] == &list[0]
}

// Fields of EndpointsUpdate.
const (
	clustersField protowire.Number = 1
	localityField protowire.Number = 2
)

// get returns a change as an entry of an update's list, for an agent in a zone.
func (s *encodings) get(c endpoints.Change, zone string) ([]byte, error) {
	key := encodingKey{c.Cluster, zone}
	s.mu.Lock()
	e := s.known[key]
	s.mu.Unlock()
	if e.is(c.Endpoints) {
		return e.bytes, nil
	}
	data, err := proto.Marshal(message(c.Cluster, near(c.Endpoints, zone)))
	if err != nil {
		return nil, err
	}
	e = encoding{c.Endpoints, protowire.AppendBytes(protowire.AppendTag(nil, clustersField, protowire.BytesType), data)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[encodingKey]encoding{}
	}
	for old := range s.known {
		if len(s.known) < maxEncodings {
			break
		}
		delete(s.known, old)
	}
	s.known[key] = e
	return e.bytes, nil
}

func message(cluster string, list []endpoints.Endpoint) *deliveryv1.ClusterEndpoints {
	m := &deliveryv1.ClusterEndpoints{Cluster: cluster}
	for _, e := range list {
		m.Endpoints = append(m.Endpoints, &deliveryv1.Endpoint{
			Address: e.Address.String(), Port: e.Port, Locality: e.Locality, Weight: e.Weight, Draining: e.Draining,
		})
	}
	return m
}

// hinted reports whether endpoints say for which zones they are: by the rule of
// kube-proxy (KEP-2433), all that take traffic must.
func hinted(list []endpoints.Endpoint) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(e endpoints.Endpoint) bool { return e.Near == "" && !e.Draining })
}

// near keeps the endpoints that a zone is to use, or all, where that would be none
// that takes traffic.
func near(list []endpoints.Endpoint, zone string) []endpoints.Endpoint {
	if zone == "" {
		return list
	}
	var kept []endpoints.Endpoint
	for _, e := range list {
		if slices.Contains(strings.Split(e.Near, ","), zone) {
			kept = append(kept, e)
		}
	}
	if !slices.ContainsFunc(kept, func(e endpoints.Endpoint) bool { return !e.Draining }) {
		return list
	}
	return kept
}

// send writes changes in messages of bounded size, and returns how large they were.
func (s *Server) send(stream deliveryv1.Delivery_WatchEndpointsServer, changes []endpoints.Change, at *place) (sent int, err error) {
	var data []byte
	if where := at.news(); where != "" {
		data = protowire.AppendString(protowire.AppendTag(nil, localityField, protowire.BytesType), where)
	}
	for _, c := range changes {
		zone := ""
		if hinted(c.Endpoints) {
			zone = at.zone()
		}
		entry, err := s.encodings.get(c, zone)
		if err != nil {
			return sent, err
		}
		if len(data) > 0 && len(data)+len(entry) > maxUpdate {
			if err := stream.Send(update(data)); err != nil {
				return sent, err
			}
			data = nil
		}
		data = append(data, entry...)
		sent += len(entry)
	}
	if len(data) == 0 {
		return 0, nil
	}
	return sent, stream.Send(update(data))
}

// update is a message of encoded fields. They are written as they are; who reads
// the message finds them in their places.
func update(fields []byte) *deliveryv1.EndpointsUpdate {
	u := &deliveryv1.EndpointsUpdate{}
	u.ProtoReflect().SetUnknown(fields)
	return u
}
