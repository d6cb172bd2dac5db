package identity

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Limits of issuing. A signature costs tens of microseconds; the limits are for
// a client in a loop, and leave room for a deployment of some hundred replicas
// that share an identity. One holder, a pod, needs one certificate a day.
const (
	globalRate, globalBurst = 500, 5000
	perIDRate, perIDBurst   = 5, 500
	holderRate, holderBurst = 0.1, 20
	refusalRate, refusals   = 50, 500
	// Looks at tokens from one address: a node's, where pods share it.
	askRate, askBurst = 50, 1000
	maxLimiters       = 1 << 14
)

// limits holds issuing to a rate, for all, for each identity, and for each of those
// that have it. Refused attempts have a limit of their own, so that a stranger
// cannot use up the others'.
type limits struct {
	all, refused             *rate.Limiter
	byID, byHolder, byClient *keyed
}

func newLimits() *limits {
	return &limits{
		all:      rate.NewLimiter(globalRate, globalBurst),
		refused:  rate.NewLimiter(refusalRate, refusals),
		byID:     newKeyed(perIDRate, perIDBurst),
		byHolder: newKeyed(holderRate, holderBurst),
		byClient: newKeyed(askRate, askBurst),
	}
}

// allow takes one certificate from the limits of a grant.
func (l *limits) allow(g Grant) bool {
	if g.Holder != "" && !l.byHolder.of(g.Holder).Allow() {
		return false
	}
	return l.byID.of(g.subject()).Allow() && l.all.Allow()
}

// ask takes one look at a token from the limit of a client's address.
func (l *limits) ask(host string) bool { return l.byClient.of(host).Allow() }

// keyed is a limiter for each of many.
type keyed struct {
	rate  rate.Limit
	burst int

	mu    sync.Mutex
	known map[string]*rate.Limiter
}

func newKeyed(r rate.Limit, burst int) *keyed {
	return &keyed{rate: r, burst: burst, known: map[string]*rate.Limiter{}}
}

func (k *keyed) of(key string) *rate.Limiter {
	k.mu.Lock()
	defer k.mu.Unlock()
	if have, ok := k.known[key]; ok {
		return have
	}
	if len(k.known) >= maxLimiters {
		k.forget()
	}
	r := rate.NewLimiter(k.rate, k.burst)
	k.known[key] = r
	return r
}

// forget drops the limiters that are full again, which say nothing, or all,
// where everybody is busy: the global limit stays.
func (k *keyed) forget() {
	for key, r := range k.known {
		if r.Tokens() >= float64(k.burst) {
			delete(k.known, key)
		}
	}
	if len(k.known) >= maxLimiters {
		clear(k.known)
	}
}

// ServerOptions bound what strangers can hold of a server that has the Identity
// service alone.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequest + maxToken + 1<<10),
		grpc.MaxConcurrentStreams(16),
		grpc.MaxHeaderListSize(8 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: time.Minute, MaxConnectionAge: 10 * time.Minute, MaxConnectionAgeGrace: 30 * time.Second,
			Time: 30 * time.Second, Timeout: 10 * time.Second,
		}),
	}
}
