package authz

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

// evalTimeout is below what Envoy waits for an answer.
const evalTimeout = 300 * time.Millisecond

// A Server decides about requests. The zero policy denies.
type Server struct {
	authv3.UnimplementedAuthorizationServer
	policy atomic.Pointer[policy]
	log    log
}

// NewServer returns a server without a policy.
func NewServer() *Server { return &Server{} }

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { authv3.RegisterAuthorizationServer(r, s) }

// Load prepares a bundle and then decides by it, from one request to the next.
// On an error the policy in force stays.
func (s *Server) Load(ctx context.Context, bundle []byte) error {
	next, err := prepare(ctx, bundle)
	if err != nil {
		return err
	}
	s.policy.Store(next)
	return nil
}

var errNoPolicy = errors.New("no policy is loaded")

// Check implements authv3.AuthorizationServer. It never returns an error: what
// Envoy does with one is the filter's setting.
func (s *Server) Check(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	began := time.Now()
	v, err := s.check(ctx, r.GetAttributes())
	s.log.add(decision(r.GetAttributes(), v, err, began))
	return response(v, err), nil
}

func (s *Server) check(ctx context.Context, in *authv3.AttributeContext) (v verdict, err error) {
	// A policy is data from elsewhere: a fault in evaluating it must cost one
	// request and not the agent.
	defer func() {
		if fault := recover(); fault != nil {
			v, err = verdict{}, fmt.Errorf("evaluating the policy: %v", fault)
		}
	}()
	p := s.policy.Load()
	if p == nil {
		return verdict{}, errNoPolicy
	}
	input, err := p.reads.input(in)
	if err != nil {
		return verdict{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, evalTimeout)
	defer cancel()
	return p.decide(ctx, input)
}

// response says 403 for a deny and 503 when nothing could decide. Which rule
// decided goes to Envoy's dynamic metadata, for access logs.
func response(v verdict, err error) *authv3.CheckResponse {
	out := &authv3.CheckResponse{}
	if v.rule != "" {
		out.DynamicMetadata = &structpb.Struct{Fields: map[string]*structpb.Value{"rule": structpb.NewStringValue(v.rule)}}
	}
	if err == nil && v.allow {
		out.Status = &status.Status{Code: int32(codes.OK)}
		out.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}
		return out
	}
	http, body := typev3.StatusCode_Forbidden, "access denied\n"
	if err != nil {
		http, body = typev3.StatusCode_ServiceUnavailable, "access cannot be decided\n"
	}
	out.Status = &status.Status{Code: int32(codes.PermissionDenied)}
	out.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: http}, Body: body,
	}}
	return out
}
