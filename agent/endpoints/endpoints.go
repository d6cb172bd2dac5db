// Package endpoints rebuilds live endpoints within the limits that a release
// signs.
//
// In go what an untrusted controller says; out come load assignments made from
// address, port, locality and weight alone, with the priorities and shares that the
// release's rules give to places. Everything else that Envoy knows of
// an endpoint is left out, above all metadata, which could choose a plaintext
// transport. What is out of bounds is dropped and counted.
package endpoints

import (
	"fmt"
	"net/netip"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// Bounds of one cluster's endpoints.
const (
	maxEndpoints = 4096
	maxWeight    = 128 // Envoy's own maximum
	maxLocality  = 192
	maxAddress   = 64 // an IPv6 address has 45
)

// A Reason says why an endpoint was dropped.
type Reason string

// The reasons.
const (
	Unasked    Reason = "cluster"   // of a cluster that the release does not name
	NotAddress Reason = "address"   // not an IP address
	Forbidden  Reason = "forbidden" // unspecified, multicast, link-local or loopback
	Outside    Reason = "cidr"      // outside the signed networks
	WrongPort  Reason = "port"      // not a signed port
	TooMany    Reason = "count"     // more than a cluster may have
	NoLocality Reason = "locality"  // a locality that no platform has; the endpoint stays
	Clamped    Reason = "weight"    // an impossible weight; the endpoint stays
	Duplicate  Reason = "duplicate" // the same address and port twice
)

// An Endpoint is all that is kept.
type Endpoint struct {
	Address  netip.AddrPort
	Locality locality.Place
	Weight   uint32
	Draining bool
}

// Limits are the signed bounds in the form that is asked.
type Limits struct {
	networks []netip.Prefix
	clusters map[string]map[uint32]bool // ports by cluster
	rules    map[string]*locality.Rule  // by cluster; nil: places mean nothing
}

// NewLimits reads a release's constraints, which are verified.
func NewLimits(c artifact.Constraints) (Limits, error) {
	l := Limits{clusters: map[string]map[uint32]bool{}, rules: map[string]*locality.Rule{}}
	for _, text := range c.EndpointCIDRs {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return Limits{}, fmt.Errorf("reading endpoint networks: %w", err)
		}
		l.networks = append(l.networks, p)
	}
	for _, cluster := range c.Clusters {
		if !cluster.MTLS {
			continue // live endpoints are for mutual TLS alone
		}
		l.clusters[cluster.Name] = map[uint32]bool{}
		l.rules[cluster.Name] = cluster.Locality
		for _, port := range cluster.Ports {
			l.clusters[cluster.Name][port] = true
		}
	}
	return l, nil
}

// Clusters returns the clusters that take live endpoints.
func (l Limits) Clusters() map[string]map[uint32]bool { return l.clusters }

// Filter returns the endpoints of a cluster that are within the limits.
func (l Limits) Filter(c *deliveryv1.ClusterEndpoints, drop func(Reason)) []Endpoint {
	ports, ok := l.clusters[c.GetCluster()]
	if !ok {
		drop(Unasked)
		return nil
	}
	var out []Endpoint
	seen := map[netip.AddrPort]bool{}
	for _, raw := range c.GetEndpoints() {
		e, reason := l.endpoint(raw, ports, drop)
		switch {
		case reason == "" && seen[e.Address]:
			reason = Duplicate
		case reason == "" && len(out) == maxEndpoints:
			reason = TooMany
		}
		if reason != "" {
			drop(reason)
			continue
		}
		seen[e.Address] = true
		out = append(out, e)
	}
	return out
}

func (l Limits) endpoint(raw *deliveryv1.Endpoint, ports map[uint32]bool, drop func(Reason)) (Endpoint, Reason) {
	ip, err := netip.ParseAddr(raw.GetAddress())
	if err != nil || ip.Zone() != "" {
		return Endpoint{}, NotAddress
	}
	ip = ip.Unmap()
	if reason := l.address(ip); reason != "" {
		return Endpoint{}, reason
	}
	if !ports[raw.GetPort()] {
		return Endpoint{}, WrongPort
	}
	e := Endpoint{Address: netip.AddrPortFrom(ip, uint16(raw.GetPort())), Weight: max(1, raw.GetWeight()), Draining: raw.GetDraining()}
	if e.Weight > maxWeight {
		drop(Clamped)
		e.Weight = maxWeight
	}
	var ok bool
	if e.Locality, ok = locality.Parse(raw.GetLocality()); !ok {
		drop(NoLocality)
	}
	return e, ""
}

// address holds an address to the networks. Loopback is where the agent's and
// other pods' local services listen: only a signed network that lies within it
// allows it. Link-local is where clouds keep their credentials (169.254.169.254).
func (l Limits) address(ip netip.Addr) Reason {
	if ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return Forbidden
	}
	for _, n := range l.networks {
		if n.Contains(ip) && (!ip.IsLoopback() || n.Addr().IsLoopback()) {
			return ""
		}
	}
	switch {
	case ip.IsLoopback():
		return Forbidden
	case len(l.networks) == 0:
		return "" // the release names no networks: the pinned identities decide
	}
	return Outside
}
