package xds

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Warming reads from Envoy's admin interface how many clusters and listeners
// are not warm. Envoy acknowledges a listener before its secrets arrive, so an
// acknowledgement alone does not say that it takes traffic.
type Warming func(context.Context) (clusters, listeners int, err error)

// Options are the server's time limits; zero fields get the defaults.
type Options struct {
	Warming Warming
	// Deadline bounds each step of a change. Envoy warms a cluster that gets no
	// answer for 15 s.
	Deadline time.Duration
	// Grace is how long a removed cluster or route stays, so that requests
	// that chose it, and their retries, can end.
	Grace time.Duration
	// Poll is how often Warming is asked while something is not warm.
	Poll time.Duration
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.Deadline, 30 * time.Second}, {&o.Grace, 5 * time.Second}, {&o.Poll, 10 * time.Millisecond}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return o
}

// A Server holds what one Envoy is served. Its methods may be used by several
// goroutines; Apply and Install by one at a time.
type Server struct {
	secretservice.UnimplementedSecretDiscoveryServiceServer
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	options Options

	mu      sync.Mutex
	types   map[string]*typeState // fixed keys
	conns   map[*conn]struct{}
	version string // of the change under way
	changes int    // counts them
	refusal *RefusedError
	counts  map[string]Counts
	wake    chan struct{} // closed and replaced when anything above changes
	leaving map[string]map[string]time.Time
}

// typeState is what is served of one type. Until it is ready, requests wait.
type typeState struct {
	served set
	ready  bool
}

// Counts are Envoy's answers for one type.
type Counts struct {
	Sent    uint64 `json:"sent"`
	Refused uint64 `json:"refused"`
}

// NewServer returns a server that has nothing yet: Envoy's requests wait.
func NewServer(o Options) *Server {
	s := &Server{
		options: o.withDefaults(), conns: map[*conn]struct{}{}, counts: map[string]Counts{},
		wake: make(chan struct{}), types: map[string]*typeState{}, leaving: map[string]map[string]time.Time{},
	}
	for _, t := range []string{ClusterType, EndpointType, ListenerType, RouteType, SecretType} {
		s.types[t] = &typeState{}
		s.leaving[t] = map[string]time.Time{}
	}
	return s
}

// Register adds the services to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discovery.RegisterAggregatedDiscoveryServiceServer(r, s)
	secretservice.RegisterSecretDiscoveryServiceServer(r, s)
}

// DeltaAggregatedResources implements delta ADS.
func (s *Server) DeltaAggregatedResources(str discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(str, "")
}

// DeltaSecrets implements delta SDS, for secrets of static resources.
func (s *Server) DeltaSecrets(str secretservice.SecretDiscoveryService_DeltaSecretsServer) error {
	return s.serve(str, SecretType)
}

// StreamAggregatedResources refuses the other variant of the protocol.
func (s *Server) StreamAggregatedResources(discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return status.Error(codes.Unimplemented, "only delta xDS is served")
}

// SetSecrets replaces the secrets. The first call answers the requests that
// waited: an early failure could stop later updates (envoy issue 42438).
func (s *Server) SetSecrets(secrets []Resource) { s.replace(SecretType, newSet(SecretType, secrets)) }

// SetEndpoints adds or replaces endpoints. Those of a cluster stay as long as
// the cluster, which nothing asks for once it is gone, and cost little after.
func (s *Server) SetEndpoints(endpoints []Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(EndpointType, newSet(EndpointType, endpoints).over(s.types[EndpointType].served))
}

func (s *Server) replace(typeURL string, next set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(typeURL, next)
}

// put serves next on every stream; the lock is held.
func (s *Server) put(typeURL string, next set) {
	t := s.types[typeURL]
	t.served, t.ready = next, true
	for c := range s.conns {
		s.flush(c, typeURL)
	}
	s.notify()
}

// notify wakes who waits; the lock is held.
func (s *Server) notify() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// Connected reports whether an Envoy has a stream open.
func (s *Server) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns) > 0
}

// Counts returns Envoy's answers by type URL.
func (s *Server) Counts() map[string]Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]Counts, len(s.counts))
	for t, c := range s.counts {
		out[t] = c
	}
	return out
}

// Resend sends what is served of the signed types, whatever Envoy has: Envoy takes
// what differs, by its own hash of the content, and lets the rest be.
func (s *Server) Resend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		for _, t := range []string{ClusterType, RouteType, ListenerType} {
			e := c.exchange(t)
			for name := range s.types[t].served {
				e.again[name] = true
			}
			s.flush(c, t)
		}
	}
	s.notify()
}

// Secrets returns the versions of the secrets that are served, by name.
func (s *Server) Secrets() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for name, r := range s.types[SecretType].served {
		out[name] = r.GetVersion()
	}
	return out
}

// Leaving returns the names, by type URL, of what is served until [Server.Prune]
// removes it.
func (s *Server) Leaving() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	for typeURL, names := range s.leaving {
		out[typeURL] = slices.Sorted(maps.Keys(names))
	}
	return out
}

// maxWords bounds what is kept of Envoy's words; a report has room for 4 KiB.
const maxWords = 3 << 10

// A RefusedError is a resource that Envoy did not take.
type RefusedError struct {
	Type  string
	Words string // Envoy's own
}

// Error implements error.
func (e *RefusedError) Error() string { return fmt.Sprintf("envoy refuses %s: %s", e.Type, e.Words) }

func (s *Server) sent(typeURL string) {
	n := s.counts[typeURL]
	n.Sent++
	s.counts[typeURL] = n
}

// refused keeps Envoy's first refusal of the change under way; the lock is
// held. Endpoints and secrets are no part of a release: theirs are counted.
func (s *Server) refused(typeURL, version, words string) {
	n := s.counts[typeURL]
	n.Refused++
	s.counts[typeURL] = n
	signed := typeURL == ClusterType || typeURL == ListenerType || typeURL == RouteType
	if signed && s.refusal == nil && version == s.version {
		s.refusal = &RefusedError{Type: typeURL, Words: clip(words)}
	}
}

// clip keeps both ends: Envoy quotes the whole resource before it says what is
// wrong with it.
func clip(words string) string {
	if len(words) <= maxWords {
		return words
	}
	const head = maxWords / 4
	return words[:head] + " ... " + words[len(words)-(maxWords-head):]
}
