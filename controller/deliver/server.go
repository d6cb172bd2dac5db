package deliver

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// Limits of what one client may send or hold open.
const (
	maxRequest   = 4 << 20 // WatchEndpoints with 65,536 names of 60 bytes
	maxStreams   = 16      // of one connection; an agent has three or four
	maxHeaders   = 16 << 10
	maxDigests   = 4096
	maxClusters  = 1 << 16
	maxName      = 1024
	maxEnvelope  = 64 << 10
	maxErrorText = 4 << 10
)

// ServerOptions are the gRPC server's settings that go with this service: dead
// connections are noticed within a minute, those that do nothing are closed, and
// calls of clients without a certificate end before they are read, but for the
// one that asks for the certificate.
func ServerOptions() []grpc.ServerOption { return serverOptions(false) }

// TokenServerOptions are ServerOptions of a server that knows clients by tokens too:
// calls with one are admitted for the time that its review may take.
func TokenServerOptions() []grpc.ServerOption { return serverOptions(true) }

func serverOptions(tokens bool) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.InTapHandle(newGate(tokens).admit),
		grpc.ConnectionTimeout(10 * time.Second),
		// A connection is idle but for a release now and then: it holds no buffer of
		// its own to write, and a small one to read.
		grpc.ReadBufferSize(4 << 10),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 5 * time.Minute, Time: 30 * time.Second, Timeout: 10 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
}

// Options of a Server.
type Options struct {
	Endpoints *endpoints.Table
	Log       *slog.Logger
	// Shown, where set, is given the envelope that an agent says it runs, when it
	// is not the live one. It may be anything: the receiver verifies it.
	Shown func(envelope []byte)
	// Tokens, where set, knows clients that show no certificate.
	Tokens *peer.Tokens
	// Locality, where set, says where an agent is, "region/zone/subzone", "" where
	// that is not known.
	Locality func(netip.Addr) string
}

// Server is the Delivery service.
type Server struct {
	deliveryv1.UnimplementedDeliveryServer
	opt       Options
	fleet     fleet
	encodings encodings

	mu       sync.Mutex
	serving  *serving
	changed  chan struct{} // closed when serving changes
	drained  chan struct{} // closed by Drain
	draining bool
}

// New returns a server that has nothing to deliver yet: agents that watch wait.
func New(opt Options) *Server {
	return &Server{opt: opt, serving: &serving{}, changed: make(chan struct{}), drained: make(chan struct{})}
}

// A Rollout says which release is served to whom.
type Rollout struct {
	Live *artifact.Release
	// Fallback is for the workloads, namespace/name, that Live has not reached; nil
	// where it is for all. Reached must always answer the same.
	Fallback *artifact.Release
	Reached  func(workload string) bool
	// Sequences of the two. An agent that has a higher one than the fallback's, of a
	// rollout that went no further, would refuse the fallback and is not sent it.
	Sequence, FallbackSequence uint64
}

// Publish makes a signed release the live one, for all.
func (s *Server) Publish(r *artifact.Release) error { return s.PublishRollout(Rollout{Live: r}) }

// PublishRollout serves releases from now on, and wakes every agent. Those whose
// workload is served what it has are not sent anything.
func (s *Server) PublishRollout(r Rollout) error {
	for _, release := range []*artifact.Release{r.Live, r.Fallback} {
		if release != nil && len(release.Envelope()) == 0 {
			return errors.New("publishing a release: it is not signed")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = s.serving.follow(r)
	s.fleet.keep(s.serving.releases)
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// Live returns the live release, nil before the first.
func (s *Server) Live() *artifact.Release {
	if p := s.current().live(); p != nil {
		return p.Release
	}
	return nil
}

// Knows reports whether an identity has a workload in a release that is served or
// was before. Before the first release nobody is known not to.
func (s *Server) Knows(identity string) bool {
	rs := s.current()
	return len(rs.releases) == 0 || slices.ContainsFunc(rs.releases, func(p *published) bool {
		return slices.ContainsFunc(p.leavesOf(identity), func(l artifact.Leaf) bool { return l.Kind == artifact.Live })
	})
}

// Drain ends all streams, so that a graceful stop of the gRPC server does not
// wait for agents, which go to another controller or come back.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.draining = true
		close(s.drained)
	}
}

// Fleet returns the last report of every proxy, by workload and instance.
func (s *Server) Fleet() []ProxyState { return s.fleet.list() }

// Watchers returns how many agents watch releases now.
func (s *Server) Watchers() int64 { return s.fleet.watchers.Load() }

func (s *Server) current() *serving {
	now, _ := s.watch()
	return now
}

// watch returns what is served and what is closed when that changes.
func (s *Server) watch() (*serving, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving, s.changed
}

// caller returns the identity of a call's client.
func (s *Server) caller(ctx context.Context) (peer.Peer, error) {
	p, err := s.opt.Tokens.From(ctx)
	if errors.Is(err, peer.ErrUnavailable) {
		return peer.Peer{}, status.Error(codes.Unavailable, err.Error())
	}
	if err != nil {
		return peer.Peer{}, status.Error(codes.Unauthenticated, err.Error())
	}
	return p, introduce(ctx, p.ID.String())
}

// key returns the leaf's key for a client and the workload that it names.
func key(p peer.Peer, workload string) (artifact.Key, error) {
	if workload == "" || len(workload) > maxName {
		return artifact.Key{}, status.Errorf(codes.InvalidArgument, "workload %.100q: want namespace/name", workload)
	}
	return artifact.Key{SPIFFEID: p.ID.String(), Workload: workload}, nil
}

// check refuses a key that the release which it is served has no leaf for. Before
// the first release nobody is refused.
func (s *serving) check(k artifact.Key) error {
	p := s.of(k)
	if p == nil {
		return nil
	}
	if _, _, ok := p.Lookup(k); ok {
		return nil
	}
	for _, l := range p.Leaves() {
		if l.Workload == k.Workload {
			return status.Errorf(codes.PermissionDenied, "workload %s is not %s's: its proxies have another identity", k.Workload, k.SPIFFEID)
		}
	}
	return status.Errorf(codes.NotFound, "the live release has no workload %s with identity %s: is it in the policy repository?", k.Workload, k.SPIFFEID)
}

// errDraining ends the streams of a controller that stops.
var errDraining = status.Error(codes.Unavailable, "the controller stops: connect again")

// expired ends the streams of a certificate that has expired: a stream must not
// outlive the identity that it was opened with.
func expired(p peer.Peer) error {
	return status.Errorf(codes.Unauthenticated, "the certificate or token of %s has expired: connect again with a new one", p.ID)
}
