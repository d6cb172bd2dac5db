package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// caRole gives a server's certificate for one token, as the ca role does.
type caRole struct {
	deliveryv1.UnimplementedIdentityServer
	ca     *CA
	names  []string
	ttl    time.Duration
	issued atomic.Int64
}

func (i *caRole) Issue(_ context.Context, r *deliveryv1.IssueRequest) (*deliveryv1.IssueResponse, error) {
	if r.GetToken() != "ours" {
		return nil, status.Error(codes.Unauthenticated, "no")
	}
	key, err := requestKey(r.GetCsr())
	if err != nil {
		return nil, err
	}
	leaf, err := i.ca.sign(key, i.ttl, &x509.Certificate{DNSNames: i.names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return nil, err
	}
	i.issued.Add(1)
	return &deliveryv1.IssueResponse{Chain: [][]byte{leaf.Raw}}, nil
}

func (i *caRole) serve(t *testing.T) (address string) {
	t.Helper()
	serving, err := NewServing(i.ca, []string{"mesh-ca"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{GetCertificate: serving.Get})))
	deliveryv1.RegisterIdentityServer(server, i)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return l.Addr().String()
}

func TestIssued(t *testing.T) {
	ca, err := NewCA("shop.example", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewCA("shop.example", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	both := pool.Clone()
	both.AddCert(other.Root())
	for _, test := range []struct {
		name  string
		ca    *CA
		names []string
		token string
		roots *x509.CertPool
		ok    bool
	}{
		{name: "good", ca: ca, names: []string{"mesh-deliver"}, token: "ours\n", roots: pool, ok: true},
		{name: "another's token", ca: ca, names: []string{"mesh-deliver"}, token: "theirs", roots: pool},
		{name: "an issuer of other roots", ca: other, names: []string{"mesh-deliver"}, token: "ours", roots: pool},
		{name: "no names", ca: ca, token: "ours", roots: both},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte(test.token), 0o600); err != nil {
				t.Fatal(err)
			}
			i := &caRole{ca: test.ca, names: test.names, ttl: time.Hour}
			s := NewIssued(IssuedOptions{Issuer: i.serve(t), IssuerName: "mesh-ca", Roots: test.roots, TokenFile: file, Log: slog.New(slog.DiscardHandler)})
			c, err := s.issue(t.Context())
			if test.ok != (err == nil) {
				t.Fatalf("%v, %v", c, err)
			}
			if test.ok && (len(c.Leaf.DNSNames) != 1 || c.Leaf.DNSNames[0] != "mesh-deliver") {
				t.Errorf("for %v", c.Leaf.DNSNames)
			}
		})
	}
}

// TestIssuedRenews: a certificate is replaced before it ends, and shown while it
// cannot be.
func TestIssuedRenews(t *testing.T) {
	ca, err := NewCA("shop.example", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := &caRole{ca: ca, names: []string{"mesh-deliver"}, ttl: 4 * time.Second}
	s := NewIssued(IssuedOptions{Issuer: i.serve(t), IssuerName: "mesh-ca", Roots: pool, TokenFile: file, Log: slog.New(slog.DiscardHandler)})
	if _, err := s.Get(nil); err == nil || s.Valid(time.Now()) {
		t.Error("a certificate before there is one")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	first := awaitOther(ctx, t, s, nil)
	if !s.Valid(time.Now()) {
		t.Error("the first certificate is not valid")
	}
	if second := awaitOther(ctx, t, s, first); !time.Now().Before(first.Leaf.NotAfter) {
		t.Errorf("%s came after %s had expired", second.Leaf.SerialNumber, first.Leaf.SerialNumber)
	}
	cancel()
	<-done
}

func awaitOther(ctx context.Context, t *testing.T, s *Issued, than *tls.Certificate) *tls.Certificate {
	t.Helper()
	for {
		if c := s.current.Load(); c != than {
			return c
		}
		select {
		case <-ctx.Done():
			t.Fatal(errors.New("no certificate came"))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
