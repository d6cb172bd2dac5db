package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// A Prove finds out whom a token proves, and may spend it on a public key (PKIX,
// DER). An error that wraps [peer.ErrRefused] is an answer that the client is told;
// any other says that there was none.
type Prove func(ctx context.Context, token string, key []byte) (Grant, error)

// A Grant is what a token proved: a workload's identity, or the names of a server
// of the control plane.
type Grant struct {
	ID spiffeid.ID
	// Names, where there are any, are the DNS names and addresses of a serving
	// certificate, which has no identity.
	Names []string
	// Holder is one of many that have the identity, such as a pod; "" where tokens
	// do not say. Certificates are limited to each.
	Holder string
	// Audit is what else the log says of the proof: never the token.
	Audit []slog.Attr
}

// subject is whom the certificate is for, in logs and messages.
func (g Grant) subject() string {
	if len(g.Names) > 0 {
		return fmt.Sprint(g.Names)
	}
	return g.ID.String()
}

// Prove spends a one-time join token; it is a Prove.
func (t *Tokens) Prove(_ context.Context, token string, key []byte) (Grant, error) {
	g, err := t.redeem(token, key)
	if errors.Is(err, ErrTokenUnknown) || errors.Is(err, ErrTokenExpired) || errors.Is(err, ErrTokenUsed) {
		err = fmt.Errorf("%w: %w: make a new one with \"mesh-compile serve token\"", peer.ErrRefused, err)
	}
	return g, err
}
