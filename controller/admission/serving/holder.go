package serving

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"
)

// Pair is a certificate and the roots, in PEM, under which clients verify it.
type Pair struct {
	Certificate *tls.Certificate
	Roots       string
	// Renew, where there is one, returns the certificate to use under these roots by
	// now: while the next root is made known, this one must not expire.
	Renew func() (*tls.Certificate, error)
}

// Source returns the certificate that should be used by now.
type Source interface {
	Pair(now time.Time) (Pair, error)
}

// Holder has the certificate that is used, and the next one until clients trust it.
type Holder struct {
	source Source
	// settle is how long a root must have been in the configuration: every API server
	// follows it by a watch of its own.
	settle time.Duration

	mu            sync.Mutex
	current, next Pair
	since         time.Time // when the next root was first seen; zero while it is not
	trusted       time.Time // the same of the current
}

// NewHolder returns a holder of nothing; Step fills it.
func NewHolder(s Source, settle time.Duration) *Holder { return &Holder{source: s, settle: settle} }

// Get is a tls.Config's GetCertificate.
func (h *Holder) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current.Certificate == nil {
		return nil, errors.New("no certificate yet")
	}
	return h.current.Certificate, nil
}

// Roots are those that clients must trust now and next.
func (h *Holder) Roots() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, p := range []Pair{h.current, h.next} {
		if p.Roots != "" {
			out = append(out, p.Roots)
		}
	}
	return out
}

// Step asks the source, and changes over to its certificate when clients have trusted
// its roots for a while. Under the same roots it changes at once. An error is the
// source's; what is used stays.
func (h *Holder) Step(now time.Time, trusts func(roots string) bool) error {
	p, err := h.source.Pair(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
	case h.current.Certificate == nil || p.Roots == h.current.Roots:
		h.current, h.next = p, Pair{}
	case p.Roots == h.next.Roots:
		h.next = p
	default:
		h.next, h.since = p, time.Time{}
	}
	if h.current.Renew != nil {
		if c, failed := h.current.Renew(); failed == nil {
			h.current.Certificate = c
		} else if err == nil {
			err = failed
		}
	}
	h.trusted = seen(h.trusted, now, h.current.Roots != "" && trusts(h.current.Roots))
	h.since = seen(h.since, now, h.next.Roots != "" && trusts(h.next.Roots))
	if h.settled(h.since, now) {
		h.current, h.trusted = h.next, h.since
		h.next, h.since = Pair{}, time.Time{}
	}
	return err
}

// seen keeps the time since when something is true.
func seen(since, now time.Time, is bool) time.Time {
	switch {
	case !is:
		return time.Time{}
	case since.IsZero():
		return now
	}
	return since
}

func (h *Holder) settled(since, now time.Time) bool {
	return !since.IsZero() && now.Sub(since) >= h.settle
}

// Trusted reports whether clients trust the certificate that is used.
func (h *Holder) Trusted(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settled(h.trusted, now)
}

// Expires is when the certificate that is used ends; zero where there is none.
func (h *Holder) Expires() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current.Certificate == nil || h.current.Certificate.Leaf == nil {
		return time.Time{}
	}
	return h.current.Certificate.Leaf.NotAfter
}
