package serving_test

import (
	"crypto/tls"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/admission/serving"
)

// given is a source that returns what it was given.
type given struct {
	pair serving.Pair
	err  error
}

func (g *given) Pair(time.Time) (serving.Pair, error) { return g.pair, g.err }

// TestHolder: a new root is published first and used when clients have trusted it for a
// while; under the same root a certificate changes at once.
func TestHolder(t *testing.T) {
	first, renewed, next := &tls.Certificate{}, &tls.Certificate{}, &tls.Certificate{}
	source := &given{pair: serving.Pair{Certificate: first, Roots: "A"}}
	h := serving.NewHolder(source, 5*time.Second)
	at := time.Unix(1000, 0)
	trusted := []string{}
	step := func(after time.Duration, want *tls.Certificate, roots ...string) {
		t.Helper()
		at = at.Add(after)
		if err := h.Step(at, func(r string) bool { return slices.Contains(trusted, r) }); !errors.Is(err, source.err) {
			t.Fatal(err)
		}
		if have, err := h.Get(nil); err != nil || have != want {
			t.Errorf("at %s another certificate is used: %v", at.UTC(), err)
		}
		if have := h.Roots(); !slices.Equal(have, roots) {
			t.Errorf("at %s roots are %q, want %q", at.UTC(), have, roots)
		}
	}
	if _, err := h.Get(nil); err == nil {
		t.Error("there is a certificate before the first step")
	}
	step(0, first, "A")
	trusted = []string{"A"}
	step(time.Second, first, "A")
	if h.Trusted(at) {
		t.Error("trusted before every API server can know")
	}
	step(5*time.Second, first, "A")
	if !h.Trusted(at) {
		t.Error("not trusted")
	}
	source.pair.Certificate = renewed
	step(time.Second, renewed, "A")

	late := &tls.Certificate{} // of the old root, while the next one is made known
	source.pair.Renew = func() (*tls.Certificate, error) { return renewed, nil }
	step(time.Second, renewed, "A")
	source.pair.Renew, renewed = nil, late
	source.pair = serving.Pair{Certificate: next, Roots: "B"}
	step(time.Hour, renewed, "A", "B")
	trusted = []string{"A", "B"}
	step(time.Second, renewed, "A", "B")
	step(4*time.Second, renewed, "A", "B")
	step(time.Second, next, "B")
	if !h.Trusted(at) {
		t.Error("not trusted after a change")
	}
	source.err = errors.New("half of the files are there")
	step(time.Hour, next, "B")
	source.err, trusted = nil, nil // somebody emptied the configuration
	step(time.Second, next, "B")
	if h.Trusted(at) {
		t.Error("trusted without a root in the configuration")
	}
}
