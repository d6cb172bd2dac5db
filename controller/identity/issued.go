package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// IssuedOptions say where a server's certificate comes from.
type IssuedOptions struct {
	Issuer     string         // host:port of the ca role
	IssuerName string         // in its certificate
	Roots      *x509.CertPool // of the issuer's certificate, and of ours
	// TokenFile holds our service account's token. It is read whenever it is used:
	// it is written anew before it expires.
	TokenFile string
	Log       *slog.Logger
}

// Issued is the certificate of a server which another process issues, to the names
// that it knows our service account by. Its key lives in this process alone.
type Issued struct {
	opt     IssuedOptions
	current atomic.Pointer[tls.Certificate]
}

// NewIssued returns a certificate that is not there before Run has got it.
func NewIssued(opt IssuedOptions) *Issued { return &Issued{opt: opt} }

// Get returns the certificate; it is a tls.Config's GetCertificate.
func (s *Issued) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := s.current.Load()
	if c == nil {
		return nil, errors.New("there is no serving certificate yet")
	}
	return c, nil
}

// Valid reports whether there is a certificate that has not expired.
func (s *Issued) Valid(now time.Time) bool {
	c := s.current.Load()
	return c != nil && now.Before(c.Leaf.NotAfter)
}

// Pauses after a failure.
const issueRetry, maxIssueRetry = 500 * time.Millisecond, 30 * time.Second

// Run gets the certificate, and a new one at half of its life, until ctx ends. One
// that cannot be renewed is shown to its end.
func (s *Issued) Run(ctx context.Context) {
	pause := issueRetry
	for {
		wait := pause
		c, err := s.issue(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.opt.Log.Error("no serving certificate: trying again", "issuer", s.opt.Issuer, "error", err)
			pause = min(2*pause, maxIssueRetry)
		default:
			s.current.Store(c)
			s.opt.Log.Info("serving certificate", "names", c.Leaf.DNSNames, "expires", c.Leaf.NotAfter)
			wait, pause = time.Until(c.Leaf.NotBefore.Add(c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)/2)), issueRetry
		}
		// Drawn from the last fifth, so that replicas do not come together.
		wait = max(wait-mathrand.N(wait/5+1), 0)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// issueTimeout bounds one request, here and where it is answered: who proves tokens
// may ask another server.
const issueTimeout = 10 * time.Second

func (s *Issued) issue(ctx context.Context) (*tls.Certificate, error) {
	token, err := os.ReadFile(s.opt.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading our token: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	conn, err := grpc.NewClient("passthrough:///"+s.opt.Issuer, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: s.opt.IssuerName, RootCAs: s.opt.Roots,
	})))
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", s.opt.Issuer, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, issueTimeout)
	defer cancel()
	r, err := deliveryv1.NewIdentityClient(conn).Issue(ctx, &deliveryv1.IssueRequest{Csr: csr, Token: strings.TrimSpace(string(token))})
	if err != nil {
		return nil, fmt.Errorf("asking for a certificate: %w", err)
	}
	return s.accept(r.GetChain(), key)
}

// accept refuses a certificate that agents would refuse.
func (s *Issued) accept(chain [][]byte, key *ecdsa.PrivateKey) (*tls.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("taking a certificate: there is none in the answer")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("taking a certificate: %w", err)
	}
	intermediates := x509.NewCertPool()
	for _, der := range chain[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(c)
		}
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: s.opt.Roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("taking a certificate: %w", err)
	case !key.PublicKey.Equal(leaf.PublicKey):
		return nil, errors.New("taking a certificate: it is for another key")
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return nil, errors.New("taking a certificate: it names no server: give the issuer our service account with --serving")
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}
