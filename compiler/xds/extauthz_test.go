package xds_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// asked allows everything and hands on what Envoy asked.
type asked struct {
	authv3.UnimplementedAuthorizationServer
	requests chan *authv3.CheckRequest
}

func (a asked) Check(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	a.requests <- r
	return &authv3.CheckResponse{}, nil
}

// runAsked serves on a socket whose path is short enough for one.
func runAsked(t *testing.T) (asked, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "asked-")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	a, server := asked{requests: make(chan *authv3.CheckRequest, 8)}, grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, a)
	go server.Serve(l) //nolint:errcheck // ends with Stop
	t.Cleanup(func() { server.Stop(); os.RemoveAll(dir) })
	return a, l.Addr().String()
}

func TestAgentLearnsTheServerName(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	ca, app := newAuthority(t), envoytest.RunEcho(t, "catalog", "v1")
	a, socket := runAsked(t)
	ask := func(*check.Workload, *check.Inbound) xds.PortAccess { return xds.PortAccess{ExtAuthz: true} }
	address := freeAddress(t)
	cert, key := ca.issue(t, catalogID)
	envoytest.Run(t, envoytest.Options{Bootstrap: static(t, build(t, shopMesh(t), "shop/catalog-v1", ask), xds.StaticOptions{
		Certificate: cert, Key: key, Roots: ca.roots(), AgentPath: socket,
		Bind:      map[string]string{"inbound|8080": address, "outbound": freeAddress(t)},
		Endpoints: map[string][]string{"inbound|8080": {app.Address()}},
	})})
	client := ca.client(t, orderID)
	client.ServerName = "catalog.shop"
	response, err := envoytest.Send(t.Context(), address, envoytest.Request{TLS: client})
	if err != nil || response.Status != 200 {
		t.Fatalf("status %d, error %v", response.Status, err)
	}
	if got := (<-a.requests).GetAttributes().GetTlsSession().GetSni(); got != "catalog.shop" {
		t.Errorf("the agent is told the name %q, want catalog.shop", got)
	}
}
