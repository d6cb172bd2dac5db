package meshtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"

	agentauthz "github.com/mesh-compile/mesh-compile/agent/authz"
	"github.com/mesh-compile/mesh-compile/compiler/authz"
	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// agent answers a proxy's questions about access by the workload's bundle, as
// the agent beside it does.
type agent struct {
	path   string // of its socket
	dir    string
	server *grpc.Server
}

func startAgent(ctx context.Context, m *check.Mesh, w *check.Workload) (*agent, error) {
	bundle, err := authz.Bundle(m, w)
	if err != nil {
		return nil, fmt.Errorf("making the bundle of %s: %w", w.Key(), err)
	}
	decides := agentauthz.NewServer()
	if err := decides.Load(ctx, bundle); err != nil {
		return nil, err
	}
	// A Unix socket's path has at most 107 bytes.
	dir, err := os.MkdirTemp("", "agent-")
	if err != nil {
		return nil, err
	}
	a := &agent{path: filepath.Join(dir, "agent.sock"), dir: dir, server: grpc.NewServer()}
	listener, err := net.Listen("unix", a.path)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	decides.Register(a.server)
	go a.server.Serve(listener) //nolint:errcheck // ends with the server
	return a, nil
}

func (a *agent) close() {
	a.server.Stop()
	os.RemoveAll(a.dir)
}
