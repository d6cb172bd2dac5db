package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
)

// A Stop says how a server ends, so that no agent is without one: it is out of
// service first, then asks agents to leave (GOAWAY), and ends their streams when
// they have had the time.
type Stop struct {
	Unready time.Duration // for load balancers to see that it is not ready
	Leave   time.Duration // for agents to leave
	End     time.Duration // for calls to end after that
}

// DefaultStop fits into the half minute that Kubernetes gives a pod.
var DefaultStop = Stop{Unready: 5 * time.Second, Leave: 5 * time.Second, End: 3 * time.Second}

// Serve serves rpc, with which s is registered, until ctx ends and the stop is over.
// Stopping, if set, is called when it begins.
func (s *Server) Serve(ctx context.Context, rpc *grpc.Server, l net.Listener, stop Stop, stopping func()) error {
	failed := make(chan error, 1)
	go func() { failed <- rpc.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving agents: %w", err)
	case <-ctx.Done():
	}
	if stopping != nil {
		stopping()
	}
	s.opt.Log.Info("stopping: agents go elsewhere", "watching", s.Watchers())
	s.end(rpc, stop)
	if err := <-failed; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving agents: %w", err)
	}
	s.opt.Log.Info("stopped")
	return nil
}

func (s *Server) end(rpc *grpc.Server, stop Stop) {
	time.Sleep(stop.Unready)
	left := make(chan struct{})
	go func() { defer close(left); rpc.GracefulStop() }()
	select {
	case <-left:
		return
	case <-time.After(stop.Leave):
	}
	s.Drain()
	select {
	case <-left:
	case <-time.After(stop.End):
		rpc.Stop()
		<-left
	}
}
