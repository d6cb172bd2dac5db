package endpoints

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/xds"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// A Book holds what the controller last said, unfiltered, and answers with what
// the limits of the moment allow: a later release may allow less or more.
type Book struct {
	mu          sync.Mutex
	limits      Limits
	application map[string]netip.AddrPort
	said        map[string]*deliveryv1.ClusterEndpoints
	own         locality.Place // where this proxy is by what is signed or configured
	saidOwn     string         // by what the controller said
	dropped     map[Reason]uint64
	changed     chan struct{} // closed and replaced
}

// NewBook returns a book without limits, which allows nothing.
func NewBook() *Book {
	return &Book{said: map[string]*deliveryv1.ClusterEndpoints{}, dropped: map[Reason]uint64{}, changed: make(chan struct{})}
}

// Update takes in what the controller says.
func (b *Book) Update(u *deliveryv1.EndpointsUpdate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if own := u.GetLocality(); own != "" {
		if _, ok := locality.Parse(own); ok {
			b.saidOwn = own
		} else {
			b.drop(NoLocality)
		}
	}
	for _, c := range u.GetClusters() {
		if _, asked := b.limits.clusters[c.GetCluster()]; !asked {
			b.dropped[Unasked]++
			continue
		}
		b.said[c.GetCluster()] = bounded(c, b.drop)
	}
	b.notify()
}

// bounded returns what is worth keeping of what was said, so that a controller
// decides how many endpoints are kept and not how many bytes.
func bounded(c *deliveryv1.ClusterEndpoints, drop func(Reason)) *deliveryv1.ClusterEndpoints {
	out := &deliveryv1.ClusterEndpoints{Cluster: c.GetCluster()}
	for _, e := range c.GetEndpoints() {
		kept := &deliveryv1.Endpoint{Address: e.GetAddress(), Port: e.GetPort(), Locality: e.GetLocality(), Weight: e.GetWeight(), Draining: e.GetDraining()}
		if len(out.GetEndpoints()) == maxEndpoints {
			drop(TooMany)
			continue
		}
		if len(kept.GetAddress()) > maxAddress {
			drop(NotAddress)
			continue
		}
		if len(kept.GetLocality()) > maxLocality {
			drop(NoLocality)
			kept.Locality = ""
		}
		out.Endpoints = append(out.Endpoints, kept)
	}
	return out
}

// SetPlace says where this proxy is. The zero place leaves that to the controller,
// which could only have it go further than it must.
func (b *Book) SetPlace(own locality.Place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if own != b.own {
		b.own = own
		b.notify()
	}
}

// place is where this proxy is.
func (b *Book) place() locality.Place {
	if b.own != (locality.Place{}) {
		return b.own
	}
	said, _ := locality.Parse(b.saidOwn)
	return said
}

// SetLimits takes a release's limits and the clusters of the application. What
// was said about other clusters is forgotten.
func (b *Book) SetLimits(l Limits, application map[string]netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limits, b.application = l, application
	maps.DeleteFunc(b.said, func(name string, _ *deliveryv1.ClusterEndpoints) bool {
		_, asked := l.clusters[name]
		return !asked
	})
	b.notify()
}

func (b *Book) notify() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next change.
func (b *Book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Clusters returns the clusters to subscribe to, sorted.
func (b *Book) Clusters() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.limits.clusters))
}

// Unknown returns how many clusters nothing was said about.
func (b *Book) Unknown() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.limits.clusters) - len(b.said)
}

// Wait returns when every cluster is known, or ctx ends.
func (b *Book) Wait(ctx context.Context) {
	for {
		changed := b.Changed()
		if b.Unknown() == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// Known returns the clusters that something was said about, sorted.
func (b *Book) Known() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.said))
}

// Assignments returns the endpoints of clusters and of the application: none
// for a cluster that nothing was said about. Envoy waits for an answer before
// it takes traffic for a cluster.
func (b *Book) Assignments(clusters []string) ([]xds.Resource, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []xds.Resource
	for _, name := range clusters {
		said := b.said[name]
		if said == nil {
			said = &deliveryv1.ClusterEndpoints{Cluster: name}
		}
		r, err := Assignment(name, b.limits.rules[name], b.place(), b.limits.Filter(said, b.drop))
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	for _, name := range slices.Sorted(maps.Keys(b.application)) {
		r, err := Application(name, b.application[name])
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (b *Book) drop(r Reason) { b.dropped[r]++ }

// Dropped returns how often each reason dropped or changed an endpoint.
func (b *Book) Dropped() map[Reason]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.dropped)
}

// Encode returns what was said, as a file for a start without a controller.
func (b *Book) Encode() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := &deliveryv1.EndpointsUpdate{Locality: b.saidOwn}
	for _, name := range slices.Sorted(maps.Keys(b.said)) {
		u.Clusters = append(u.Clusters, b.said[name])
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(u)
}

// Restore takes in what Encode wrote. It is no more trusted than the controller
// that said it.
func (b *Book) Restore(data []byte) error {
	u := &deliveryv1.EndpointsUpdate{}
	if err := proto.Unmarshal(data, u); err != nil {
		return fmt.Errorf("reading stored endpoints: %w", err)
	}
	b.Update(u)
	return nil
}
