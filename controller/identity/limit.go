package identity

import (
	"sync"

	"golang.org/x/time/rate"
)

// Limits of issuing. A signature costs tens of microseconds; the limits are for
// a client in a loop, and leave room for a deployment of some hundred replicas
// that share an identity.
const (
	globalRate, globalBurst = 500, 5000
	perIDRate, perIDBurst   = 5, 500
	refusalRate, refusals   = 50, 500
	maxLimiters             = 1 << 14
)

// limits holds issuing to a rate, for all and for each identity. Refused
// attempts have a limit of their own, so that a stranger cannot use up the
// others'.
type limits struct {
	all, refused *rate.Limiter

	mu   sync.Mutex
	byID map[string]*rate.Limiter
}

func newLimits() *limits {
	return &limits{
		all:     rate.NewLimiter(globalRate, globalBurst),
		refused: rate.NewLimiter(refusalRate, refusals),
		byID:    map[string]*rate.Limiter{},
	}
}

// allow takes one certificate from the limits of id.
func (l *limits) allow(id string) bool { return l.of(id).Allow() && l.all.Allow() }

func (l *limits) of(id string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have, ok := l.byID[id]; ok {
		return have
	}
	if len(l.byID) >= maxLimiters {
		l.forget()
	}
	r := rate.NewLimiter(perIDRate, perIDBurst)
	l.byID[id] = r
	return r
}

// forget drops the limiters that are full again, which say nothing, or all,
// where every identity is busy: the global limit stays.
func (l *limits) forget() {
	for id, r := range l.byID {
		if r.Tokens() >= perIDBurst {
			delete(l.byID, id)
		}
	}
	if len(l.byID) >= maxLimiters {
		clear(l.byID)
	}
}
