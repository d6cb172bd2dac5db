package kubernetes

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// text is a string that many share.
type text = unique.Handle[string]

// slice is what is kept of an EndpointSlice.
type slice struct {
	service   text // namespace/name
	ports     []port
	endpoints []endpoint
}

type port struct {
	name   text
	number uint32
}

// endpoint is an address that takes traffic, in 56 bytes: a mesh of 100,000 pods
// is kept by every replica.
type endpoint struct {
	address netip.Addr
	pod     podID
	zone    text
	// near are the zones that are to prefer the endpoint, by ",".
	near  text
	state state
}

// podID stands for a pod's namespace and name. It is not the same in another
// process, so that nobody chooses names for two of one id.
type podID uint64

var seed = maphash.MakeSeed()

func podOf(namespace, name string) podID {
	return podID(maphash.Comparable(seed, [2]string{namespace, name}))
}

// state of an endpoint: the greater one takes more.
type state uint8

const (
	draining state = iota + 1 // terminating, and still serving
	ready
)

// compact returns what is kept of a slice: nil of one that is no service's, or has
// no addresses.
func compact(in *discoveryv1.EndpointSlice) *slice {
	service := in.Labels[discoveryv1.LabelServiceName]
	if service == "" || in.AddressType == discoveryv1.AddressTypeFQDN {
		return nil
	}
	out := &slice{service: unique.Make(in.Namespace + "/" + service)}
	for _, p := range in.Ports {
		if p.Port == nil || p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP {
			continue // UDP and SCTP do not go through the mesh
		}
		out.ports = append(out.ports, port{unique.Make(deref(p.Name)), uint32(*p.Port)})
	}
	out.endpoints = make([]endpoint, 0, len(in.Endpoints))
	for i := range in.Endpoints {
		if e, ok := compactEndpoint(in.Namespace, &in.Endpoints[i]); ok {
			out.endpoints = append(out.endpoints, e)
		}
	}
	return out
}

// compactEndpoint takes the first address: the API gives no meaning to others.
func compactEndpoint(namespace string, in *discoveryv1.Endpoint) (endpoint, bool) {
	s, ok := stateOf(&in.Conditions)
	if !ok || len(in.Addresses) == 0 {
		return endpoint{}, false
	}
	address, err := netip.ParseAddr(in.Addresses[0])
	if err != nil {
		return endpoint{}, false
	}
	out := endpoint{address: address.Unmap(), zone: unique.Make(deref(in.Zone)), near: unique.Make(""), state: s}
	if ref := in.TargetRef; ref != nil && ref.Kind == "Pod" {
		out.pod = podOf(cmp.Or(ref.Namespace, namespace), ref.Name)
	}
	if in.Hints != nil {
		var zones []string
		for _, z := range in.Hints.ForZones {
			zones = append(zones, z.Name)
		}
		slices.Sort(zones)
		out.near = unique.Make(strings.Join(zones, ","))
	}
	return out, true
}

// stateOf reads the conditions as the API defines what is not said: ready is
// true, serving is ready, terminating is false.
func stateOf(c *discoveryv1.EndpointConditions) (state, bool) {
	isReady := c.Ready == nil || *c.Ready
	serving := isReady
	if c.Serving != nil {
		serving = *c.Serving
	}
	switch {
	case isReady:
		return ready, true // also one that is published while it terminates
	case serving && c.Terminating != nil && *c.Terminating:
		return draining, true
	}
	return 0, false
}

func (s *slice) equal(o *slice) bool {
	return s.service == o.service && slices.Equal(s.ports, o.ports) && slices.Equal(s.endpoints, o.endpoints)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
