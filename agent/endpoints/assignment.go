package endpoints

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/agent/xds"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
)

// Assignment returns a cluster's endpoints as Envoy takes them, the same bytes
// for the same endpoints in any order. Priorities and weights of places are the
// rule's for a caller at a place. It has no policy and no metadata: a controller
// cannot ask for drops or another transport.
func Assignment(cluster string, rule *locality.Rule, caller locality.Place, endpoints []Endpoint) (xds.Resource, error) {
	sorted := slices.Clone(endpoints)
	slices.SortFunc(sorted, func(a, b Endpoint) int {
		return cmp.Or(slices.Compare(a.Locality[:], b.Locality[:]), a.Address.Compare(b.Address))
	})
	out := &endpointv3.ClusterLoadAssignment{ClusterName: cluster}
	var groups []locality.Group
	for i, e := range sorted {
		if i == 0 || sorted[i-1].Locality != e.Locality {
			out.Endpoints = append(out.Endpoints, &endpointv3.LocalityLbEndpoints{Locality: e.locality()})
			groups = append(groups, locality.Group{Place: e.Locality})
		}
		last := len(out.Endpoints) - 1
		out.Endpoints[last].LbEndpoints = append(out.Endpoints[last].LbEndpoints, e.lbEndpoint())
		groups[last].Weight += e.Weight
	}
	arrange(out, rule, caller, groups)
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	if err != nil {
		return xds.Resource{}, fmt.Errorf("making the endpoints of %s: %w", cluster, err)
	}
	return xds.Resource{Name: cluster, Version: artifact.DigestOf(data).Hex(), Bytes: data}, nil
}

// arrange tells Envoy what the rule makes of places. One without a share is left
// out, and so is never what Envoy falls back to.
func arrange(out *endpointv3.ClusterLoadAssignment, rule *locality.Rule, caller locality.Place, groups []locality.Group) {
	rule.Arrange(caller, groups)
	kept := out.Endpoints[:0]
	for i, l := range out.Endpoints {
		l.Priority = groups[i].Priority
		if rule.Weighted() {
			if groups[i].Share == 0 {
				continue
			}
			l.LoadBalancingWeight = wrapperspb.UInt32(groups[i].Share)
		}
		kept = append(kept, l)
	}
	out.Endpoints = kept
}

// Application returns the assignment of a cluster that leads to the application
// behind this proxy, whose address is the agent's own configuration.
func Application(cluster string, address netip.AddrPort) (xds.Resource, error) {
	return Assignment(cluster, nil, locality.Place{}, []Endpoint{{Address: address, Weight: 1}})
}

func (e Endpoint) locality() *corev3.Locality {
	if e.Locality == (locality.Place{}) {
		return nil
	}
	return &corev3.Locality{Region: e.Locality[0], Zone: e.Locality[1], SubZone: e.Locality[2]}
}

func (e Endpoint) lbEndpoint() *endpointv3.LbEndpoint {
	out := &endpointv3.LbEndpoint{
		LoadBalancingWeight: wrapperspb.UInt32(e.Weight),
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: &corev3.Address{
			Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address:       e.Address.Addr().String(),
				PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(e.Address.Port())},
			}},
		}}},
	}
	if e.Draining {
		out.HealthStatus = corev3.HealthStatus_DRAINING
	}
	return out
}
