package xds

import (
	"context"
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/stream/v3"
)

// A conn is one delta stream. The server's lock guards its fields. Each stream
// has a delta server of its own, so that callbacks and watches know it.
type conn struct {
	server *Server
	types  map[string]*exchange
}

// An exchange is the state of one type on one stream.
type exchange struct {
	watch    *watch            // open, nothing to send; nil while an answer is due
	queued   int               // responses that have no nonce yet
	unacked  map[string]string // versions by nonces that Envoy has not answered
	answered bool              // a first response was made
	again    map[string]bool   // names to send whatever Envoy has
}

// idle reports whether Envoy has answered for everything and waits.
func (e *exchange) idle() bool { return e.watch != nil && e.queued == 0 && len(e.unacked) == 0 }

func (c *conn) exchange(typeURL string) *exchange {
	e, ok := c.types[typeURL]
	if !ok {
		e = &exchange{unacked: map[string]string{}, again: map[string]bool{}}
		c.types[typeURL] = e
	}
	return e
}

// serve speaks one stream until it ends.
func (s *Server) serve(str stream.DeltaStream, typeURL string) error {
	c := &conn{server: s, types: map[string]*exchange{}}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer s.drop(c)
	server := delta.NewServer(str.Context(), c, c, delta.DeactivateLegacyWildcardForTypes(namedTypes))
	return server.DeltaStreamHandler(str, typeURL)
}

func (s *Server) drop(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.notify()
}

// CreateDeltaWatch implements cache.ConfigWatcher.
func (c *conn) CreateDeltaWatch(r *cache.DeltaRequest, sub cache.Subscription, out chan cache.DeltaResponse) (func(), error) {
	if c.server.types[r.GetTypeUrl()] == nil {
		return nil, fmt.Errorf("type %.200q is not served", r.GetTypeUrl())
	}
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	e := c.exchange(r.GetTypeUrl())
	w := &watch{request: r, subscription: sub, responses: out, first: !e.answered}
	e.watch = w
	for _, name := range lost(r) {
		e.again[name] = true
	}
	s.flush(c, r.GetTypeUrl())
	s.notify()
	// The library closes the channel after it has cancelled every watch: none
	// may be open then.
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if e.watch == w {
			e.watch = nil
		}
	}, nil
}

// CreateWatch implements cache.ConfigWatcher; state of the world is not served.
func (c *conn) CreateWatch(*cache.Request, cache.Subscription, chan cache.Response) (func(), error) {
	return nil, fmt.Errorf("only delta xDS is served")
}

// flush answers the open watch of a type, if there is something to say. The
// channel has room: the library gives it two places for each type, and one
// watch is answered once.
func (s *Server) flush(c *conn, typeURL string) {
	e := c.exchange(typeURL)
	t := s.types[typeURL]
	if e.watch == nil || !t.ready {
		return
	}
	response := e.watch.respond(t.served, s.version, e.again)
	if response == nil {
		return
	}
	e.watch.responses <- response
	e.watch, e.answered = nil, true
	e.queued++
	if typeURL == ClusterType {
		s.warm(c, response.DeltaDiscoveryResponse)
	}
}

// warm sends the endpoints of the clusters in a response again, after it. A
// cluster that changes warms anew and waits for its endpoints; Envoy, which
// subscribes to them already, does not ask, and gives up after 15 s (seen with
// 1.40; the protocol leaves it to the server, see envoy issue 13009).
func (s *Server) warm(c *conn, clusters *discovery.DeltaDiscoveryResponse) {
	e := c.exchange(EndpointType)
	for _, r := range clusters.GetResources() {
		e.again[r.GetName()] = true
	}
	s.flush(c, EndpointType)
}

// OnDeltaStreamOpen implements delta.Callbacks.
func (c *conn) OnDeltaStreamOpen(context.Context, int64, string) error { return nil }

// OnDeltaStreamClosed implements delta.Callbacks.
func (c *conn) OnDeltaStreamClosed(int64, *core.Node) {}

// OnStreamDeltaResponse implements delta.Callbacks: a response gets its nonce.
func (c *conn) OnStreamDeltaResponse(_ int64, _ *discovery.DeltaDiscoveryRequest, r *discovery.DeltaDiscoveryResponse) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	e := c.exchange(r.GetTypeUrl())
	c.server.sent(r.GetTypeUrl())
	e.queued--
	e.unacked[r.GetNonce()] = r.GetSystemVersionInfo()
}

// OnStreamDeltaRequest implements delta.Callbacks: Envoy accepts or refuses
// the response whose nonce it names. A nonce is taken once.
func (c *conn) OnStreamDeltaRequest(_ int64, r *discovery.DeltaDiscoveryRequest) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	e := c.exchange(r.GetTypeUrl())
	version, ok := e.unacked[r.GetResponseNonce()]
	if !ok {
		return nil
	}
	delete(e.unacked, r.GetResponseNonce())
	if detail := r.GetErrorDetail(); detail != nil {
		c.server.refused(r.GetTypeUrl(), version, detail.GetMessage())
	}
	c.server.notify()
	return nil
}
