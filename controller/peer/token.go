package peer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/metadata"
)

// A Review asks whose token it is. An error that wraps [ErrRefused] is an answer;
// any other says that there was none.
type Review func(ctx context.Context, token string) (Peer, error)

// ErrRefused says that a token is nobody's, or not for us.
var ErrRefused = errors.New("the token is refused")

// ErrUnavailable says that a token could not be reviewed now.
var ErrUnavailable = errors.New("tokens cannot be reviewed now: try again")

const (
	// maxToken is several times a service account's token.
	maxToken = 8 << 10
	// tokenTTL is how long an answer counts: a pod that is deleted keeps its name
	// for so long.
	tokenTTL, refusedTTL = time.Minute, 10 * time.Second
	// streamTTL is how long a stream may live on a token that was good when it began.
	streamTTL = 5 * time.Minute
	maxTokens = 1 << 14
	// Reviews a second, so that strangers do not make us a burden of the API server.
	reviewRate, reviewBurst = 50, 500
)

// Tokens knows clients by bearer tokens (RFC 6750) where they show no certificate.
type Tokens struct {
	review Review
	limit  *rate.Limiter
	flight singleflight.Group

	mu    sync.Mutex
	known map[[sha256.Size]byte]verdict // by the token's hash
}

type verdict struct {
	peer  Peer
	err   error
	until time.Time
}

// NewTokens returns what reviews tokens, each at most once a minute.
func NewTokens(review Review) *Tokens {
	return &Tokens{review: review, limit: rate.NewLimiter(reviewRate, reviewBurst), known: map[[sha256.Size]byte]verdict{}}
}

// From returns the client of a call by its certificate, or else by its token. A nil
// Tokens takes certificates alone.
func (t *Tokens) From(ctx context.Context) (Peer, error) {
	p, err := From(ctx)
	if t == nil || !errors.Is(err, ErrAnonymous) {
		return p, err
	}
	token, ok := Bearer(metadata.ValueFromIncomingContext(ctx, "authorization"))
	if !ok {
		return Peer{}, err
	}
	if len(token) > maxToken {
		return Peer{}, fmt.Errorf("a token of %d bytes, at most %d are read", len(token), maxToken)
	}
	return t.ask(ctx, token)
}

// Bearer returns the token in the values of the authorization header.
func Bearer(values []string) (string, bool) {
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "bearer") && token != ""
}

func (t *Tokens) ask(ctx context.Context, token string) (Peer, error) {
	hash := sha256.Sum256([]byte(token))
	if v, ok := t.find(hash, time.Now()); ok {
		return v.peer, v.err
	}
	if !t.limit.Allow() {
		return Peer{}, fmt.Errorf("%w: there are too many", ErrUnavailable)
	}
	answer, err, _ := t.flight.Do(string(hash[:]), func() (any, error) {
		if v, ok := t.find(hash, time.Now()); ok { // an earlier flight ended after we looked
			return v.peer, v.err
		}
		// Whoever asked first may go away; the others still wait for the answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		p, err := t.review(ctx, token)
		if err != nil && !errors.Is(err, ErrRefused) {
			return Peer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		v := t.keep(hash, p, err, time.Now())
		return v.peer, v.err
	})
	if err != nil {
		return Peer{}, err
	}
	return answer.(Peer), nil
}

func (t *Tokens) find(hash [sha256.Size]byte, now time.Time) (verdict, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.known[hash]
	return v, ok && now.Before(v.until)
}

func (t *Tokens) keep(hash [sha256.Size]byte, p Peer, err error, now time.Time) verdict {
	v := verdict{err: err, until: now.Add(refusedTTL)}
	if err == nil {
		v.until = now.Add(tokenTTL)
		if end := now.Add(streamTTL); p.Expires.IsZero() || end.Before(p.Expires) {
			p.Expires = end
		}
		if p.Expires.Before(v.until) {
			v.until = p.Expires
		}
		v.peer = p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.known) >= maxTokens {
		for h, old := range t.known {
			if !now.Before(old.until) {
				delete(t.known, h)
			}
		}
	}
	if len(t.known) < maxTokens {
		t.known[hash] = v
	}
	return v
}
