package compiler

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/authz"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
)

// constraints encodes what bounds the endpoints of a slice's clusters. Workloads
// of one scope share it, which with thousands of clusters is most of a leaf.
func (g *generated) constraints(w *check.Workload, slice xds.Slice) (artifact.Blob, error) {
	key := slice.Clusters
	if slice.Gateway != nil {
		key = slice.Gateway // of one workload, and of this scope
	}
	return g.limits.Get(key, func() (artifact.Blob, error) {
		backends, err := g.generator.Backends(w)
		if err != nil {
			return artifact.Blob{}, err
		}
		data, err := constraints(g.mesh.Settings(), backends).Encode()
		return artifact.NewBlob(data), err
	})
}

// constraints bound the endpoints that a controller may send for a workload.
func constraints(s *check.Settings, backends []*check.Backend) artifact.Constraints {
	c := artifact.Constraints{EndpointCIDRs: s.EndpointCIDRs}
	for _, b := range backends {
		if !xds.Discovered(b) {
			continue // its endpoints are signed, or Envoy's to resolve from a signed name
		}
		c.Clusters = append(c.Clusters, artifact.ClusterConstraint{
			Name: xds.ClusterName(b), Ports: targetPorts(b), SANs: b.Identities, MTLS: b.TLS == check.TLSMesh,
			Locality: b.LocalityRule(),
		})
	}
	return c
}

// targetPorts are the ports on which a backend's workloads listen.
func targetPorts(b *check.Backend) []uint32 {
	var ports []uint32
	for _, w := range b.Workloads {
		for _, in := range w.Inbound {
			if slices.Contains(in.Services, b.Port) {
				ports = append(ports, in.Port)
			}
		}
		// An endpoint may be written with a port of its own where the service has one.
		for _, e := range w.Endpoints {
			if e.Port != 0 && len(b.Port.Service.Ports) == 1 {
				ports = append(ports, e.Port)
			}
		}
	}
	for _, e := range b.Static {
		if e.Port != 0 {
			ports = append(ports, e.Port)
		}
	}
	if len(ports) == 0 {
		ports = append(ports, b.Port.Number)
	}
	return ports
}

// discovery encodes where the endpoints of all EDS clusters are found. A service
// is encoded when it changed, and the whole digested when a part did.
func (g *generated) discovery() (artifact.Blob, error) {
	var parts [][]byte
	for _, s := range g.mesh.Services() {
		part, err := g.discovered.Get(s, func() ([]byte, error) { return discovered(s) })
		if err != nil {
			return artifact.Blob{}, err
		}
		if part != nil {
			parts = append(parts, part)
		}
	}
	data := artifact.EncodeDiscovery(parts)
	if g.release != nil {
		if old, ok := g.release.AuxBlob(artifact.Discovery); ok && bytes.Equal(old.Bytes(), data) {
			return old, nil
		}
	}
	return artifact.NewBlob(data), nil
}

// discovered encodes a service, nil where none of its clusters asks for endpoints.
func discovered(s *check.Service) ([]byte, error) {
	out := artifact.DiscoveredService{Namespace: s.Namespace, Name: s.Name}
	for _, p := range s.Ports {
		for _, b := range p.Backends {
			if xds.Discovered(b) {
				out.Clusters = append(out.Clusters, artifact.DiscoveredCluster{
					Name: xds.ClusterName(b), PortName: p.Name, Targets: targetPorts(b),
					Selector: b.Selector, Written: written(b),
				})
			}
		}
	}
	if out.Clusters == nil {
		return nil, nil
	}
	return out.Encode()
}

// written are the endpoints that the policies give a backend.
func written(b *check.Backend) []artifact.WrittenEndpoint {
	var out []artifact.WrittenEndpoint
	for _, w := range b.Workloads {
		for _, in := range w.Inbound {
			if !leads(in, b.Port) {
				continue
			}
			for _, e := range w.Endpoints {
				// One that is written with another port is the endpoint of a service
				// of one port, and of no port of a larger one.
				if e.Port != 0 && e.Port != in.Port && len(b.Port.Service.Ports) > 1 {
					continue
				}
				out = append(out, artifact.WrittenEndpoint{
					Host: e.Address, Port: cmp.Or(e.Port, in.Port), Locality: cmp.Or(e.Locality, w.Locality), Weight: e.Weight,
				})
			}
			break
		}
	}
	for _, e := range b.Static {
		out = append(out, artifact.WrittenEndpoint{Host: e.Address, Port: e.Port, Locality: e.Locality, Weight: e.Weight})
	}
	return out
}

// leads reports whether a service's port leads to a port of a workload.
func leads(in *check.Inbound, p *check.Port) bool {
	return slices.ContainsFunc(in.Services, func(s *check.Port) bool {
		return s.Service.Key() == p.Service.Key() && s.Number == p.Number
	})
}

func agentPolicy(w *check.Workload) artifact.AgentPolicy {
	p := artifact.AgentPolicy{
		Locality: w.Locality,
		Engine:   string(w.Engine), Capture: string(w.Capture),
		Outbound: []artifact.OutboundPort{{
			Port: xds.OutboundPort, Protocol: string(mesh.HTTP), Listener: xds.OutboundListener,
		}},
	}
	for _, in := range w.Inbound {
		p.Inbound = append(p.Inbound, artifact.InboundPort{
			Port: in.Port, Protocol: string(in.Protocol), Cluster: xds.InboundClusterName(in.Port),
		})
	}
	for _, port := range w.Gateway {
		p.Gateway = append(p.Gateway, artifact.GatewayPort{Port: port.Port, Listener: xds.GatewayListener(port.Port)})
	}
	return p
}

// server is what the agent gets about a workload as the one that is called.
type server struct {
	policy artifact.Blob
	bundle artifact.Blob // the zero blob without one
}

// serverKey is what a server is made from; the ports by their place in memory,
// which a workload keeps while nothing in them changes.
type serverKey struct {
	engine  mesh.Engine
	place   string
	capture mesh.Capture
	inbound **check.Inbound
	n       int
	gateway string // ports
}

func (g *generated) server(w *check.Workload) (server, error) {
	key := serverKey{engine: w.Engine, place: w.Locality, capture: w.Capture, n: len(w.Inbound)}
	if key.n > 0 {
		key.inbound = &w.Inbound[0]
	}
	for _, port := range w.Gateway {
		key.gateway += strconv.Itoa(int(port.Port)) + " "
	}
	return g.servers.Get(key, func() (s server, err error) {
		data, err := agentPolicy(w).Encode()
		if err != nil {
			return server{}, err
		}
		s.policy = artifact.NewBlob(data)
		if w.Engine == mesh.EngineOPA {
			data, err = authz.Bundle(g.mesh, w)
			s.bundle = artifact.NewBlob(data)
		}
		return s, err
	})
}
