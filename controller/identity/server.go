package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// DefaultTTL is how long a workload's certificate lasts.
const DefaultTTL = 24 * time.Hour

// maxToken is several times a token of ours.
const maxToken = 1 << 10

// Options of a Server.
type Options struct {
	TTL time.Duration // DefaultTTL where 0
	Log *slog.Logger  // the audit log
	// Joined, where set, is called after a token was spent.
	Joined func(spiffeid.ID)
	// Known, where set, says whether an identity still is a workload's. A
	// certificate of one that is not is not renewed: it would go on for ever,
	// from renewal to renewal. Tokens are not asked about: who made one knows.
	Known func(spiffeid.ID) bool
}

// Server issues certificates over gRPC. It serves on connections whose client
// certificates, where there are any, were verified against the CA's root.
type Server struct {
	deliveryv1.UnimplementedIdentityServer
	ca     *CA
	tokens *Tokens
	opt    Options
	limits *limits
}

// NewServer returns the Identity service of a CA.
func NewServer(ca *CA, tokens *Tokens, opt Options) *Server {
	if opt.TTL <= 0 {
		opt.TTL = DefaultTTL
	}
	return &Server{ca: ca, tokens: tokens, opt: opt, limits: newLimits()}
}

// proof is how a client showed who it is.
type proof struct {
	id    spiffeid.ID
	by    string // "token" or "certificate"
	token string // beginning of the token's hash
}

// Issue implements deliveryv1.IdentityServer.
func (s *Server) Issue(ctx context.Context, r *deliveryv1.IssueRequest) (*deliveryv1.IssueResponse, error) {
	p, err := s.prove(ctx, r)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	if !s.limits.allow(p.id.String()) {
		return nil, s.refuse(ctx, status.Errorf(codes.ResourceExhausted, "too many certificates for %s: try again later", p.id))
	}
	leaf, err := s.ca.Issue(r.GetCsr(), p.id, s.opt.TTL)
	if err != nil {
		return nil, s.refuse(ctx, status.Error(codes.InvalidArgument, err.Error()))
	}
	s.opt.Log.Info("certificate issued", "identity", p.id.String(), "by", p.by, "token", p.token,
		"serial", leaf.SerialNumber.Text(16), "expires", leaf.NotAfter, "client", peer.Address(ctx))
	if p.by == byToken && s.opt.Joined != nil {
		s.opt.Joined(p.id)
	}
	return &deliveryv1.IssueResponse{Chain: [][]byte{leaf.Raw}, Roots: [][]byte{s.ca.root.Raw}}, nil
}

const (
	byToken       = "token"
	byCertificate = "certificate"
)

// prove finds the identity in the token or in the client certificate, never in
// the request for the new one. A token counts first: a workload that was moved
// to another identity joins again.
func (s *Server) prove(ctx context.Context, r *deliveryv1.IssueRequest) (proof, error) {
	key, err := requestKey(r.GetCsr()) // before a token is spent on it
	if err != nil {
		return proof{}, status.Error(codes.InvalidArgument, err.Error())
	}
	if r.GetToken() == "" {
		return s.proveByCertificate(ctx)
	}
	if len(r.GetToken()) > maxToken {
		return proof{}, status.Errorf(codes.InvalidArgument, "a join token of %d bytes, at most %d are read", len(r.GetToken()), maxToken)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return proof{}, status.Error(codes.InvalidArgument, err.Error())
	}
	g, err := s.tokens.redeem(r.GetToken(), der)
	switch {
	case errors.Is(err, ErrTokenUnknown), errors.Is(err, ErrTokenExpired), errors.Is(err, ErrTokenUsed):
		return proof{}, status.Errorf(codes.Unauthenticated, "%v: make a new one with \"mesh-compile serve token\"", err)
	case err != nil:
		s.opt.Log.Error("reading join tokens", "error", err)
		return proof{}, status.Error(codes.Internal, "the join tokens cannot be read: see the controller's log")
	}
	return proof{id: g.ID, by: byToken, token: g.Token}, nil
}

func (s *Server) proveByCertificate(ctx context.Context) (proof, error) {
	p, err := peer.From(ctx)
	if errors.Is(err, peer.ErrAnonymous) {
		return proof{}, status.Error(codes.Unauthenticated, "neither a join token nor a client certificate was sent")
	}
	if err != nil {
		return proof{}, status.Error(codes.Unauthenticated, err.Error())
	}
	if !p.ID.MemberOf(s.ca.domain) || p.ID.Path() == "" {
		return proof{}, status.Error(codes.PermissionDenied, fmt.Sprintf("%s is not a workload of trust domain %s", p.ID, s.ca.domain))
	}
	if s.opt.Known != nil && !s.opt.Known(p.ID) {
		return proof{}, status.Errorf(codes.PermissionDenied, "%s is no workload's identity any more: it is not in the live release, nor in the one before", p.ID)
	}
	return proof{id: p.ID, by: byCertificate}, nil
}

// refuse logs a refusal, unless there are too many of them to log.
func (s *Server) refuse(ctx context.Context, err error) error {
	if !s.limits.refused.Allow() {
		return status.Error(codes.ResourceExhausted, "too many refused requests: try again later")
	}
	s.opt.Log.Warn("certificate refused", "reason", status.Convert(err).Message(), "client", peer.Address(ctx))
	return err
}
