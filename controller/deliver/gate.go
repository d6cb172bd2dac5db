package deliver

import (
	"context"
	"errors"
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
	// but an address: they ask for their first, or wait for their token's review, and
	// have joinTime to do so.
	maxJoining, maxJoiningFrom = 512, 64
	joinTime                   = 10 * time.Second
)

// gate turns calls away before anything is read of them: a stranger's message of
// 4 MiB would otherwise be received before a handler asks who sent it.
type gate struct {
	joinTime time.Duration
	tokens   bool // clients without a certificate may show a token

	mu   sync.Mutex
	open map[string]int // calls, by who makes them
}

func newGate(tokens bool) *gate {
	return &gate{joinTime: joinTime, tokens: tokens, open: map[string]int{}}
}

// admit is a tap.ServerInHandle. It runs on the connection's own goroutine, and
// so must not wait.
func (g *gate) admit(ctx context.Context, call *tap.Info) (context.Context, error) {
	p, err := peer.From(ctx)
	if err == nil {
		return ctx, g.enter(ctx, quota{"id " + p.ID.String(), maxCalls})
	}
	_, token := peer.Bearer(call.Header.Get("authorization"))
	token = token && g.tokens && errors.Is(err, peer.ErrAnonymous)
	if call.FullMethodName != deliveryv1.Identity_Issue_FullMethodName && !token {
		return ctx, status.Error(codes.Unauthenticated, err.Error())
	}
	return g.admitStranger(ctx)
}

// admitStranger gives a call a short time, until it is known who makes it.
func (g *gate) admitStranger(ctx context.Context) (context.Context, error) {
	short, cancel := context.WithCancelCause(ctx)
	leave, err := g.join(quota{"from " + host(ctx), maxJoiningFrom}, quota{"joining", maxJoining})
	if err != nil {
		cancel(err)
		return ctx, err
	}
	late := time.AfterFunc(g.joinTime, func() { cancel(context.DeadlineExceeded) })
	context.AfterFunc(short, func() { late.Stop(); leave(); cancel(nil) })
	return context.WithValue(short, strangerKey{}, func(id string) error {
		if !late.Stop() {
			return status.Error(codes.DeadlineExceeded, "it took too long to know who calls: try again")
		}
		leave()
		return g.enter(short, quota{"id " + id, maxCalls})
	}), nil
}

type strangerKey struct{}

// introduce says who makes a call that began as a stranger's.
func introduce(ctx context.Context, id string) error {
	known, ok := ctx.Value(strangerKey{}).(func(string) error)
	if !ok {
		return nil
	}
	return known(id)
}

// quota is how many calls somebody may have open.
type quota struct {
	who  string
	most int
}

// enter counts a call until ctx ends, in all quotas or in none.
func (g *gate) enter(ctx context.Context, quotas ...quota) error {
	leave, err := g.join(quotas...)
	if err == nil {
		context.AfterFunc(ctx, leave)
	}
	return err
}

// join counts a call until leave is called.
func (g *gate) join(quotas ...quota) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range quotas {
		if g.open[q.who] >= q.most {
			return nil, status.Errorf(codes.ResourceExhausted, "%d calls are open: try again later", q.most)
		}
	}
	for _, q := range quotas {
		g.open[q.who]++
	}
	return sync.OnceFunc(func() { g.leave(quotas) }), nil
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
