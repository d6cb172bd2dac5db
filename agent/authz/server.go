package authz

import (
	"context"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
)

type Server struct {
	authv3.UnimplementedAuthorizationServer
}

func NewServer() *Server { return &Server{} }

func (s *Server) Register(r grpc.ServiceRegistrar) { authv3.RegisterAuthorizationServer(r, s) }

func (s *Server) Load(ctx context.Context, bundle []byte) error { return nil }
