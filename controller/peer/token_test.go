package peer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

func call(t *testing.T, authorization ...string) context.Context {
	ctx := peer.NewContext(t.Context(), &peer.Peer{})
	return metadata.NewIncomingContext(ctx, metadata.MD{"authorization": authorization})
}

func TestTokens(t *testing.T) {
	catalog := spiffeid.RequireFromString("spiffe://shop.example/ns/shop/sa/catalog")
	var reviews atomic.Int64
	down := errors.New("no route to the API server")
	tokens := NewTokens(func(_ context.Context, token string) (Peer, error) {
		reviews.Add(1)
		switch token {
		case "good":
			return Peer{ID: catalog, Expires: time.Now().Add(time.Hour)}, nil
		case "short":
			return Peer{ID: catalog, Expires: time.Now()}, nil
		case "down":
			return Peer{}, down
		}
		return Peer{}, fmt.Errorf("%w: not ours", ErrRefused)
	})
	for _, test := range []struct {
		name    string
		header  []string
		ok      bool
		is      error
		reviews int64 // of two calls
	}{
		{name: "good", header: []string{"Bearer good"}, ok: true, reviews: 1},
		{name: "scheme in small letters", header: []string{"bearer good"}, ok: true, reviews: 0},
		{name: "refused", header: []string{"Bearer bad"}, is: ErrRefused, reviews: 1},
		{name: "no answer is no verdict", header: []string{"Bearer down"}, is: down, reviews: 2},
		{name: "expired is not kept", header: []string{"Bearer short"}, ok: true, reviews: 2},
		{name: "none", is: ErrAnonymous},
		{name: "another scheme", header: []string{"Basic good"}, is: ErrAnonymous},
		{name: "two", header: []string{"Bearer good", "Bearer bad"}, is: ErrAnonymous},
		{name: "too long", header: []string{"Bearer " + strings.Repeat("x", maxToken+1)}},
	} {
		before := reviews.Load()
		for range 2 {
			p, err := tokens.From(call(t, test.header...))
			if test.ok != (err == nil) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%s: %v, %v", test.name, p, err)
			}
			if test.ok && (p.ID != catalog || time.Until(p.Expires) > streamTTL) {
				t.Errorf("%s: %+v", test.name, p)
			}
		}
		if got := reviews.Load() - before; got != test.reviews {
			t.Errorf("%s: %d reviews, want %d", test.name, got, test.reviews)
		}
	}
	var none *Tokens
	if _, err := none.From(call(t, "Bearer good")); !errors.Is(err, ErrAnonymous) {
		t.Errorf("without a review: %v", err)
	}
}

// TestTokensTogether: many calls with one token are one review.
func TestTokensTogether(t *testing.T) {
	var reviews atomic.Int64
	begun, goOn := make(chan struct{}), make(chan struct{})
	tokens := NewTokens(func(context.Context, string) (Peer, error) {
		if reviews.Add(1) == 1 {
			close(begun)
		}
		<-goOn
		return Peer{Expires: time.Now().Add(time.Hour)}, nil
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := tokens.From(call(t, "Bearer t")); err != nil {
				t.Error(err)
			}
		})
	}
	<-begun
	close(goOn)
	wg.Wait()
	if n := reviews.Load(); n > 1 {
		t.Errorf("%d reviews", n)
	}
}
