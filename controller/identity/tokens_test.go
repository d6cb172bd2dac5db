package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTokenJoinsOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	tokens := OpenTokens(file)
	text, err := tokens.Create(order, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := tokens.Usable(text + "\n"); !ok || err != nil {
		t.Errorf("a new token is not usable: %v", err)
	}
	g, err := OpenTokens(file).redeem(text, []byte("key"))
	if err != nil || g.ID != order {
		t.Fatalf("got %v, %v", g, err)
	}
	if _, err := tokens.redeem(text, []byte("key")); err != nil {
		t.Errorf("the same key, whose answer was lost: %v", err)
	}
	if _, err := tokens.redeem(text, []byte("another key")); !errors.Is(err, ErrTokenUsed) {
		t.Errorf("another key: %v", err)
	}
	if ok, _ := tokens.Usable(text); ok {
		t.Error("a spent token is usable")
	}
}

func TestTokenRefusals(t *testing.T) {
	tokens := OpenTokens(filepath.Join(t.TempDir(), "tokens.json"))
	if _, err := tokens.redeem("mesh-join-x", []byte("key")); !errors.Is(err, ErrTokenUnknown) {
		t.Errorf("an empty store: %v", err)
	}
	expired, err := tokens.Create(order, -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.redeem(expired, []byte("key")); !errors.Is(err, ErrTokenExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, err := tokens.Create(order, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.redeem(expired, []byte("key")); !errors.Is(err, ErrTokenUnknown) {
		t.Errorf("an expired token is kept for ever: %v", err)
	}
}

func TestTokenFileHoldsNoToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	text, err := OpenTokens(file).Create(order, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), strings.TrimPrefix(text, tokenPrefix)) {
		t.Error("the file holds the token")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTokens(file).Create(order, time.Minute); err == nil {
		t.Error("a store that does not read was written over")
	}
}

// Two stores stand for the controller and the command that makes tokens.
func TestTokenRaceHasOneWinner(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	text, err := OpenTokens(file).Create(order, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := OpenTokens(file).Create(order, time.Minute); err != nil {
				t.Error(err)
			}
			_, err := OpenTokens(file).redeem(text, []byte{byte(i)})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, ErrTokenUsed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d keys joined with one token", won.Load())
	}
	if all, err := OpenTokens(file).read(); err != nil || len(all) != 9 {
		t.Errorf("%d tokens of 9 are left: %v", len(all), err)
	}
}
