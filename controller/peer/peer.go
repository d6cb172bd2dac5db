// Package peer says who is at the other end of a gRPC call.
//
// In goes the context of a call over mutual TLS; out comes the one SPIFFE ID
// that the verified client certificate names, or that whoever reviews tokens says.
// It reads nothing of the message, and a call without either has no identity.
package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ErrAnonymous says that the client showed no certificate.
var ErrAnonymous = errors.New("the client shows no certificate")

// A Peer is a client with an identity.
type Peer struct {
	ID      spiffeid.ID
	Expires time.Time // of the proof: a stream that outlives it has no identity
}

// From returns the client of a call. The TLS layer has verified the chain; a
// connection on which it did not is refused.
func From(ctx context.Context) (Peer, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Peer{}, ErrAnonymous
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return Peer{}, ErrAnonymous
	}
	if len(info.State.VerifiedChains) == 0 {
		return Peer{}, errors.New("the client's certificate was not verified")
	}
	leaf := info.State.PeerCertificates[0]
	id, err := x509svid.IDFromCert(leaf) // exactly one URI name (X.509-SVID, section 2)
	if err != nil {
		return Peer{}, fmt.Errorf("reading the client's certificate: %w", err)
	}
	if !time.Now().Before(leaf.NotAfter) {
		return Peer{}, fmt.Errorf("the certificate of %s expired at %s: connect again with a new one", id, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return Peer{ID: id, Expires: leaf.NotAfter}, nil
}

// Address returns the client's address for logs.
func Address(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return "unknown"
}

// Host returns the client's address without its port.
func Host(ctx context.Context) string {
	if host, _, err := net.SplitHostPort(Address(ctx)); err == nil {
		return host
	}
	return Address(ctx)
}
