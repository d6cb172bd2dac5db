package endpoints

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A Target is an endpoint as it is written: by address or by DNS name.
type Target struct {
	Host     string
	Port     uint32
	Locality string
	Weight   uint32
}

// Lookup finds the addresses of a DNS name.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// SystemLookup asks the system's resolver.
func SystemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

const (
	// DefaultInterval is how often DNS names are looked up: the system's
	// resolver does not tell the records' time to live.
	DefaultInterval = 5 * time.Second
	lookupTimeout   = 5 * time.Second
	parallelLookups = 16
	// maxAddresses bounds what one name may stand for.
	maxAddresses = 1024
)

// Resolver keeps a table at the addresses of its targets.
type Resolver struct {
	table    *Table
	lookup   Lookup
	interval time.Duration
	log      *slog.Logger
	wake     chan struct{}

	mu       sync.Mutex
	targets  map[string][]Target
	earlier  map[string][]Target // of the set before, still served
	resolved map[string]answer   // by DNS name
}

// answer is what a name resolved to last. It stays when a lookup fails: an
// address that was right is better than none.
type answer struct {
	addresses []netip.Addr
	failing   bool
}

// NewResolver returns a resolver into table.
func NewResolver(table *Table, lookup Lookup, interval time.Duration, log *slog.Logger) *Resolver {
	return &Resolver{table: table, lookup: lookup, interval: interval, log: log,
		wake: make(chan struct{}, 1), resolved: map[string]answer{}}
}

// Set replaces the targets of all clusters. Addresses are in the table when it
// returns, names soon after. Clusters that are gone keep their endpoints until
// the next Set: proxies still run the release that has them.
func (r *Resolver) Set(targets map[string][]Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.earlier, r.targets = r.targets, targets
	r.publish()
	r.table.Keep(func(cluster string) bool {
		_, now := r.targets[cluster]
		_, before := r.earlier[cluster]
		return now || before
	})
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run looks names up until ctx ends.
func (r *Resolver) Run(ctx context.Context) {
	for {
		r.resolve(ctx)
		pause := r.interval/2 + rand.N(r.interval) // so that controllers do not ask together
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-time.After(pause):
		}
	}
}

// publish puts into the table every cluster whose names have all been looked up.
func (r *Resolver) publish() {
	for _, cluster := range slices.Sorted(maps.Keys(r.targets)) {
		if endpoints, ok := r.endpoints(r.targets[cluster]); ok {
			r.table.Set(cluster, endpoints)
		}
	}
}

func (r *Resolver) endpoints(targets []Target) ([]Endpoint, bool) {
	var out []Endpoint
	for _, t := range targets {
		addresses := []netip.Addr{}
		if a, err := netip.ParseAddr(t.Host); err == nil {
			addresses = append(addresses, a)
		} else {
			found, ok := r.resolved[t.Host]
			if !ok {
				return nil, false
			}
			addresses = found.addresses
		}
		for _, a := range addresses {
			out = append(out, Endpoint{Address: a, Port: t.Port, Locality: t.Locality, Weight: t.Weight})
		}
	}
	return out, true
}

// resolve looks up every name once.
func (r *Resolver) resolve(ctx context.Context) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelLookups)
	for _, name := range r.names() {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r.resolveName(ctx, name)
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.publish()
	}
}

// names returns the DNS names of the targets and forgets the answers to others.
func (r *Resolver) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]bool{}
	for _, targets := range r.targets {
		for _, t := range targets {
			if _, err := netip.ParseAddr(t.Host); err != nil {
				names[t.Host] = true
			}
		}
	}
	maps.DeleteFunc(r.resolved, func(name string, _ answer) bool { return !names[name] })
	return slices.Sorted(maps.Keys(names))
}

func (r *Resolver) resolveName(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addresses, err := r.lookup(ctx, name)
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.resolved[name]
	if err != nil {
		if !last.failing && ctx.Err() != context.Canceled {
			r.log.Warn("looking up an endpoint: the last addresses stay", "name", name, "addresses", len(last.addresses), "error", err)
		}
		last.failing = true
		r.resolved[name] = last
		return
	}
	if len(addresses) > maxAddresses {
		r.log.Warn("looking up an endpoint: too many addresses", "name", name, "addresses", len(addresses), "kept", maxAddresses)
		addresses = addresses[:maxAddresses]
	}
	for i := range addresses {
		addresses[i] = addresses[i].Unmap() // the resolver's ::ffff:10.0.0.1 is 10.0.0.1
	}
	r.resolved[name] = answer{addresses: addresses}
}
