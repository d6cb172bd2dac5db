package kubernetes

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"
	"unique"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

// DefaultDebounce is how long changes are collected: pods come and go by the
// hundred, and one slice changes for each.
const DefaultDebounce = 20 * time.Millisecond

// Options of a Source.
type Options struct {
	Table *endpoints.Table
	Log   *slog.Logger
	// Lookup and DNSInterval are for endpoints that the policies write by name;
	// the system's resolver and endpoints.DefaultInterval where zero.
	Lookup      endpoints.Lookup
	DNSInterval time.Duration
	Debounce    time.Duration // DefaultDebounce where zero
}

// Source keeps a table at the endpoints that Kubernetes and the policies say. Run
// must be called for it to do anything.
type Source struct {
	opt      Options
	client   kubernetes.Interface
	metadata metadata.Interface
	written  *endpoints.Table // what the policies write, looked up
	resolver *endpoints.Resolver
	watch    *endpoints.Watch // of written
	wake     chan struct{}    // services are dirty
	rekey    chan struct{}    // labels are wanted that no pod was read with

	telling sync.Mutex // so that what was computed first is told first
	mu      sync.Mutex
	facts   *facts
	names   map[string]*wanted // clusters by name
	keys    []string           // of labels that the clusters want, sorted
}

// New returns a source that asks the API server of config.
func New(config *rest.Config, opt Options) (*Source, error) {
	config = rest.CopyConfig(config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("watching endpoints: %w", err)
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("watching endpoints: %w", err)
	}
	if opt.Lookup == nil {
		opt.Lookup = endpoints.SystemLookup
	}
	if opt.DNSInterval == 0 {
		opt.DNSInterval = endpoints.DefaultInterval
	}
	if opt.Debounce == 0 {
		opt.Debounce = DefaultDebounce
	}
	s := &Source{
		opt: opt, client: client, metadata: objects, written: endpoints.NewTable(),
		wake: make(chan struct{}, 1), rekey: make(chan struct{}, 1), facts: newFacts(), names: map[string]*wanted{},
	}
	s.resolver = endpoints.NewResolver(s.written, opt.Lookup, opt.DNSInterval, opt.Log)
	s.watch = s.written.Watch()
	return s, nil
}

// Set says which clusters are asked for: those of the releases in force, the newest
// first, which says what a cluster is that several have. What is known of new ones
// is in the table when it returns; those that are gone are forgotten.
func (s *Source) Set(releases ...[]artifact.DiscoveredService) {
	var all []artifact.DiscoveredService
	names := map[string]*wanted{}
	for _, services := range releases {
		for i := range services {
			all = append(all, take(names, &services[i]))
		}
	}
	s.resolver.Set(endpoints.Written(all))
	s.want(names)
	s.tell()
	s.opt.Table.Keep(func(cluster string) bool { return names[cluster] != nil })
}

// take adds the clusters of a service that are not there yet, and returns them.
func take(names map[string]*wanted, in *artifact.DiscoveredService) artifact.DiscoveredService {
	out := artifact.DiscoveredService{Namespace: in.Namespace, Name: in.Name}
	service := unique.Make(in.Key())
	for _, c := range in.Clusters {
		if names[c.Name] == nil {
			names[c.Name] = &wanted{DiscoveredCluster: c, service: service, port: unique.Make(c.PortName)}
			out.Clusters = append(out.Clusters, c)
		}
	}
	return out
}

// want replaces the clusters and touches those that are not what they were.
func (s *Source) want(names map[string]*wanted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.facts
	f.wanted = map[text][]*wanted{}
	var resolved []string
	keys := map[string]bool{}
	for name, w := range names {
		if old := s.names[name]; old != nil && old.service == w.service && reflect.DeepEqual(old.DiscoveredCluster, w.DiscoveredCluster) {
			names[name], w = old, old
		} else {
			f.dirty[w.service] = true
		}
		f.wanted[w.service] = append(f.wanted[w.service], w)
		if len(w.Written) > 0 {
			resolved = append(resolved, name)
		}
		for k := range w.Selector {
			keys[k] = true
		}
	}
	s.names, s.keys = names, slices.Sorted(maps.Keys(keys))
	s.watch.Follow(resolved)
	signal(s.rekey)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting
	}
}

// Synced reports whether everything has come that the clusters hang on.
func (s *Source) Synced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.names {
		if !s.facts.known(w) {
			return false
		}
	}
	return s.facts.has.slices && s.facts.has.nodes
}

// Locality returns where the pod is that has an address, as agents read it: "" where
// no service has it.
func (s *Source) Locality(address netip.Addr) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	address = address.Unmap()
	for _, held := range s.facts.slices {
		for i := range held.endpoints {
			if held.endpoints[i].address == address {
				return s.facts.locality(held.endpoints[i].zone)
			}
		}
	}
	return ""
}

// Run watches until ctx ends.
func (s *Source) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.resolver.Run(ctx) })
	wg.Go(func() { s.watchSlices(ctx) })
	wg.Go(func() { s.watchMetadata(ctx, "nodes", s.nodeStore()) })
	wg.Go(func() { s.watchPods(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-s.watch.Changed():
			s.touchWritten()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.opt.Debounce):
		}
		s.tell()
	}
}

func (s *Source) touchWritten() {
	changes := s.watch.Take()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if w := s.names[c.Cluster]; w != nil {
			s.facts.touch(w.service)
		}
	}
}

// tell computes what is dirty and puts it into the table.
func (s *Source) tell() {
	s.telling.Lock()
	defer s.telling.Unlock()
	for cluster, found := range s.compute() {
		s.opt.Table.Set(cluster, found)
	}
}

func (s *Source) compute() map[string][]endpoints.Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]endpoints.Endpoint{}
	for service := range s.facts.dirty {
		for _, w := range s.facts.wanted[service] {
			if !s.facts.known(w) {
				continue // it is touched again when the rest comes
			}
			found := s.facts.join(w)
			if len(w.Written) > 0 {
				written, ok := s.written.Get(w.Name)
				if !ok {
					continue
				}
				found = merge(found, written)
			}
			out[w.Name] = found
		}
	}
	clear(s.facts.dirty)
	return out
}

// merge adds written endpoints; what Kubernetes says of the same address counts.
func merge(found, written []endpoints.Endpoint) []endpoints.Endpoint {
	have := make(map[netip.AddrPort]bool, len(found))
	for _, e := range found {
		have[netip.AddrPortFrom(e.Address, uint16(e.Port))] = true
	}
	for _, e := range written {
		if at := netip.AddrPortFrom(e.Address, uint16(e.Port)); !have[at] {
			found = append(found, e)
		}
	}
	return found
}
