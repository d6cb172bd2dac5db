package deliver

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// Limits of calls under way at once.
const (
	// maxCalls is for one identity: three streams for each of a thousand
	// replicas, and room.
	maxCalls = 4096
	// maxJoining is for clients without a certificate, of whom nothing is known
	// but an address: they ask for their first, and have joinTime to do so.
	maxJoining, maxJoiningFrom = 512, 64
	joinTime                   = 10 * time.Second
)

// gate turns calls away before anything is read of them: a stranger's message of
// 4 MiB would otherwise be received before a handler asks who sent it.
type gate struct {
	joinTime time.Duration

	mu   sync.Mutex
	open map[string]int // calls, by who makes them
}

func newGate() *gate { return &gate{joinTime: joinTime, open: map[string]int{}} }

// admit is a tap.ServerInHandle. It runs on the connection's own goroutine, and
// so must not wait.
func (g *gate) admit(ctx context.Context, call *tap.Info) (context.Context, error) {
	p, err := peer.From(ctx)
	if err == nil {
		return ctx, g.enter(ctx, quota{"id " + p.ID.String(), maxCalls})
	}
	if call.FullMethodName != deliveryv1.Identity_Issue_FullMethodName {
		return ctx, status.Error(codes.Unauthenticated, err.Error())
	}
	if err := g.enter(ctx, quota{"from " + host(ctx), maxJoiningFrom}, quota{"joining", maxJoining}); err != nil {
		return ctx, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.joinTime)
	context.AfterFunc(ctx, cancel) // with the call, or when its time is over
	return ctx, nil
}

// quota is how many calls somebody may have open.
type quota struct {
	who  string
	most int
}

// enter counts a call until ctx ends, in all quotas or in none.
func (g *gate) enter(ctx context.Context, quotas ...quota) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range quotas {
		if g.open[q.who] >= q.most {
			return status.Errorf(codes.ResourceExhausted, "%d calls are open: try again later", q.most)
		}
	}
	for _, q := range quotas {
		g.open[q.who]++
	}
	context.AfterFunc(ctx, func() { g.leave(quotas) })
	return nil
}

func (g *gate) leave(quotas []quota) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range quotas {
		if g.open[q.who]--; g.open[q.who] <= 0 {
			delete(g.open, q.who)
		}
	}
}

// host is where a call comes from.
func host(ctx context.Context) string {
	p, ok := grpcpeer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return "unknown"
	}
	if h, _, err := net.SplitHostPort(p.Addr.String()); err == nil {
		return h
	}
	return p.Addr.String()
}
