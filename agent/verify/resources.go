package verify

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

// Resources looks at decoded resources for what would take control from the
// signed release, or away from access rules:
//
//   - a type or extension that is not on the list, extension discovery,
//     configuration from anywhere but the agent, gRPC to anywhere but a
//     cluster, pipes and internal addresses;
//   - traffic sent to the agent, past an inbound listener to the application,
//     or where a request's header says;
//   - access rules that are off for some requests; files, environment and
//     session keys of the proxy;
//   - an inbound TLS listener that takes clients without a certificate, and an
//     outbound one that others than the application reach;
//   - a gateway's listener with a certificate that is no file beside the agent, and
//     such files anywhere else;
//   - signed addresses of the machine itself, or where clouds keep credentials;
//   - live endpoints for a cluster without mutual TLS and pinned identities,
//     the application's own excepted;
//   - where OPA decides, an inbound chain that does not ask, or that goes on
//     without an answer;
//   - a trust bundle that is not certificates.
func Resources(l *sign.Loaded) error {
	in := inspection{policy: l.AgentPolicy, constraints: map[string]artifact.ClusterConstraint{}}
	for _, c := range l.Constraints.Clusters {
		in.constraints[c.Name] = c
	}
	if l.AgentPolicy.Engine == artifact.EngineOPA && l.Bundle == nil {
		return errors.New("the engine is opa and the leaf names no bundle")
	}
	for _, text := range l.Constraints.EndpointCIDRs {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("reading endpoint networks: %w", err)
		}
		in.networks = append(in.networks, n)
	}
	for _, r := range l.Resources {
		if err := in.resource(r); err != nil {
			return fmt.Errorf("%s %q: %w", r.Type, r.Name, err)
		}
	}
	return trustBundle(l.TrustBundle)
}

// An inspection holds what the resources are compared with.
type inspection struct {
	policy      artifact.AgentPolicy
	constraints map[string]artifact.ClusterConstraint
	networks    []netip.Prefix // that live endpoints may be in
}

func (in inspection) resource(r artifact.Resource) error {
	m, err := decode(r.Type, r.Bytes)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *listenerv3.Listener:
		err = errors.Join(named(m.GetName(), r.Name), in.listener(m))
	case *clusterv3.Cluster:
		err = errors.Join(named(m.GetName(), r.Name), in.cluster(m))
	case *routev3.RouteConfiguration:
		err = named(m.GetName(), r.Name)
	default:
		err = errors.New("this type is not served")
	}
	if err != nil {
		return err
	}
	w := walker{application: in.inbound}
	if l, ok := m.(*listenerv3.Listener); ok {
		w.gateway = in.gateway(l.GetName())
		if !in.outbound(l.GetName()) && !w.gateway {
			w.application = nil
		}
	}
	return w.message(m.ProtoReflect())
}

// decode reads a message of a type on the list.
func decode(typeURL string, data []byte) (proto.Message, error) {
	kind, ok := allowed[typeURL]
	if !ok {
		return nil, fmt.Errorf("type %.200q is not on the list", typeURL)
	}
	m := kind.New().Interface()
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("reading %s: %w", typeURL, err)
	}
	return m, nil
}

// named: Envoy knows a resource by the name inside it.
func named(inside, outside string) error {
	if inside != outside {
		return fmt.Errorf("calls itself %.200q", inside)
	}
	return nil
}

// trustBundle: a block of another kind would be handed to Envoy as it is.
func trustBundle(data []byte) error {
	for rest := data; len(rest) > 0; {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return errors.New("the trust bundle is not PEM certificates alone")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("the trust bundle: %w", err)
		}
		rest = after
	}
	return nil
}

// inbound reports whether the cluster is the application of this proxy.
func (in inspection) inbound(cluster string) bool {
	return slices.ContainsFunc(in.policy.Inbound, func(p artifact.InboundPort) bool { return p.Cluster == cluster })
}

// outbound reports whether only the application reaches the listener. What is
// not said to be outbound is held to the rules of inbound.
func (in inspection) outbound(listener string) bool {
	return slices.ContainsFunc(in.policy.Outbound, func(p artifact.OutboundPort) bool { return p.Listener == listener })
}
