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

// maxToken is several times a service account's token.
const maxToken = 8 << 10

// Options of a Server.
type Options struct {
	TTL time.Duration // DefaultTTL where 0
	Log *slog.Logger  // the audit log
	// Joined, where set, is called after a token was spent.
	Joined func(spiffeid.ID)
	// TokensOnly refuses to renew by the certificate in use. A token can be withdrawn,
	// by deleting the pod that it is bound to.
	TokensOnly bool
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
	prove  Prove
	opt    Options
	limits *limits
}

// NewServer returns the Identity service of a CA, which knows tokens by prove.
func NewServer(ca *CA, prove Prove, opt Options) *Server {
	if opt.TTL <= 0 {
		opt.TTL = DefaultTTL
	}
	return &Server{ca: ca, prove: prove, opt: opt, limits: newLimits()}
}

// proof is how a client showed who it is.
type proof struct {
	Grant
	by string // "token" or "certificate"
}

// Issue implements deliveryv1.IdentityServer.
func (s *Server) Issue(ctx context.Context, r *deliveryv1.IssueRequest) (*deliveryv1.IssueResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, issueTimeout)
	defer cancel()
	p, err := s.proof(ctx, r)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	if !s.limits.allow(p.Grant) {
		return nil, s.refuse(ctx, status.Errorf(codes.ResourceExhausted, "too many certificates for %s: try again later", p.subject()))
	}
	leaf, err := s.issue(r.GetCsr(), p.Grant)
	if err != nil {
		return nil, s.refuse(ctx, status.Error(codes.InvalidArgument, err.Error()))
	}
	s.opt.Log.LogAttrs(ctx, slog.LevelInfo, "certificate issued", append([]slog.Attr{
		slog.String("identity", p.subject()), slog.String("by", p.by),
		slog.String("serial", leaf.SerialNumber.Text(16)), slog.Time("expires", leaf.NotAfter), slog.String("client", peer.Address(ctx)),
	}, p.Audit...)...)
	if p.by == byToken && s.opt.Joined != nil {
		s.opt.Joined(p.ID)
	}
	return &deliveryv1.IssueResponse{Chain: [][]byte{leaf.Raw}, Roots: [][]byte{s.ca.root.Raw}}, nil
}

func (s *Server) issue(csr []byte, g Grant) (*x509.Certificate, error) {
	if len(g.Names) > 0 {
		return s.ca.IssueServing(csr, g.Names, s.opt.TTL)
	}
	return s.ca.Issue(csr, g.ID, s.opt.TTL)
}

const (
	byToken       = "token"
	byCertificate = "certificate"
)

// proof finds the identity in the token or in the client certificate, never in
// the request for the new one. A token counts first: a workload that was moved
// to another identity joins again.
func (s *Server) proof(ctx context.Context, r *deliveryv1.IssueRequest) (proof, error) {
	key, err := requestKey(r.GetCsr()) // before a token is spent on it
	if err != nil {
		return proof{}, status.Error(codes.InvalidArgument, err.Error())
	}
	switch n := len(r.GetToken()); {
	case n == 0 && s.opt.TokensOnly:
		return proof{}, status.Error(codes.Unauthenticated, "no token was sent: certificates are issued to tokens alone")
	case n == 0:
		return s.proveByCertificate(ctx)
	case n > maxToken:
		return proof{}, status.Errorf(codes.InvalidArgument, "a token of %d bytes, at most %d are read", n, maxToken)
	}
	if !s.limits.ask(peer.Host(ctx)) {
		return proof{}, status.Error(codes.ResourceExhausted, "too many tokens to look at: try again later")
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return proof{}, status.Error(codes.InvalidArgument, err.Error())
	}
	g, err := s.prove(ctx, r.GetToken(), der)
	switch {
	case errors.Is(err, peer.ErrRefused):
		return proof{}, status.Error(codes.Unauthenticated, err.Error())
	case err != nil:
		s.opt.Log.Error("looking at a token", "error", err)
		return proof{}, status.Error(codes.Unavailable, "tokens cannot be looked at now: see the log of who issues")
	}
	return proof{g, byToken}, nil
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
	return proof{Grant{ID: p.ID}, byCertificate}, nil
}

// refuse logs a refusal, unless there are too many of them to log.
func (s *Server) refuse(ctx context.Context, err error) error {
	if !s.limits.refused.Allow() {
		return status.Error(codes.ResourceExhausted, "too many refused requests: try again later")
	}
	s.opt.Log.Warn("certificate refused", "reason", status.Convert(err).Message(), "client", peer.Address(ctx))
	return err
}
