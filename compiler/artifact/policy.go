package artifact

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/locality"
)

// Constraints say what the unsigned endpoints of one workload may contain. An
// endpoint of a cluster that is not listed, or at an address or port that is
// not, is dropped by the agent.
type Constraints struct {
	EndpointCIDRs []string            `json:"endpointCIDRs"`
	Clusters      []ClusterConstraint `json:"clusters"`
}

// A ClusterConstraint bounds the endpoints of one EDS cluster.
type ClusterConstraint struct {
	Name  string   `json:"name"`
	Ports []uint32 `json:"ports"`
	SANs  []string `json:"sans,omitempty"` // identities that the cluster pins
	MTLS  bool     `json:"mtls"`
	// Locality says what the places of endpoints mean; nil: nothing.
	Locality *locality.Rule `json:"locality,omitempty"`
}

// Encode returns the constraints' blob; the order of the fields' entries does
// not matter.
func (c Constraints) Encode() ([]byte, error) {
	c.EndpointCIDRs = sortedSet(c.EndpointCIDRs)
	c.Clusters = append([]ClusterConstraint{}, c.Clusters...)
	slices.SortFunc(c.Clusters, func(a, b ClusterConstraint) int { return cmp.Compare(a.Name, b.Name) })
	for i := range c.Clusters {
		c.Clusters[i].Ports = sortedSet(c.Clusters[i].Ports)
		c.Clusters[i].SANs = sortedSet(c.Clusters[i].SANs)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return encodeJSON("constraints", c)
}

// DecodeConstraints reads a constraints blob.
func DecodeConstraints(data []byte) (Constraints, error) {
	var c Constraints
	if err := DecodeJSON(data, &c); err != nil {
		return Constraints{}, fmt.Errorf("reading constraints: %w", err)
	}
	return c, c.check()
}

// maxEntries bounds every list in a policy blob: several times the
// 10,000 services of the largest mesh that is measured.
const maxEntries = 1 << 16

func (c Constraints) check() error {
	if len(c.EndpointCIDRs) > maxEntries || len(c.Clusters) > maxEntries {
		return fmt.Errorf("constraints: more than %d networks or clusters", maxEntries)
	}
	for _, s := range c.EndpointCIDRs {
		if p, err := netip.ParsePrefix(s); err != nil || p != p.Masked() {
			return fmt.Errorf("constraints: %.100q is not a network in CIDR notation", s)
		}
	}
	for i, cl := range c.Clusters {
		switch {
		case cl.Name == "":
			return fmt.Errorf("constraints: cluster %d has no name", i)
		case i > 0 && c.Clusters[i-1].Name >= cl.Name:
			return fmt.Errorf("constraints: cluster %q is there twice or out of order", cl.Name)
		}
		for _, port := range cl.Ports {
			if port == 0 || port > 65535 {
				return fmt.Errorf("constraints: cluster %q: %d is not a port", cl.Name, port)
			}
		}
	}
	return nil
}

// sortedSet returns the distinct values of in, never nil: JSON shows [] and
// not null.
func sortedSet[T cmp.Ordered](in []T) []T {
	out := append([]T{}, in...)
	slices.Sort(out)
	return slices.Compact(out)
}

// AgentPolicy is what the agent needs to know besides the xDS resources. What
// happens on expiry is the leaf's [Sensitivity], so that it is said once.
type AgentPolicy struct {
	Engine   string         `json:"engine"`  // EngineRBAC or EngineOPA
	Capture  string         `json:"capture"` // CaptureNone or CaptureRedirect
	Inbound  []InboundPort  `json:"inbound"`
	Outbound []OutboundPort `json:"outbound"`
	// Locality is where the workload is by policy, "region/zone/subzone"; "" where
	// that is for the agent and the controller to say.
	Locality string        `json:"locality,omitempty"`
	Gateway  []GatewayPort `json:"gateway,omitempty"`
}

// The values of AgentPolicy.Engine and AgentPolicy.Capture.
const (
	EngineRBAC      = "rbac"
	EngineOPA       = "opa"
	CaptureNone     = "none"
	CaptureRedirect = "redirect"
)

// An InboundPort is a port of the application behind the proxy. The agent
// answers the endpoints of Cluster with the application's address.
type InboundPort struct {
	Port     uint32 `json:"port"`
	Protocol string `json:"protocol"`
	Cluster  string `json:"cluster"`
}

// An OutboundPort is a port on which the proxy takes the application's calls.
type OutboundPort struct {
	Port     uint32 `json:"port"`
	Protocol string `json:"protocol"`
	Listener string `json:"listener"`
}

// A GatewayPort is a port on which the proxy serves gateways: clients from outside
// the mesh, whose TLS ends with certificates that are files beside the agent.
type GatewayPort struct {
	Port     uint32 `json:"port"`
	Listener string `json:"listener"`
}

// Encode returns the policy's blob; the order of ports does not matter.
func (a AgentPolicy) Encode() ([]byte, error) {
	a.Inbound = append([]InboundPort{}, a.Inbound...)
	slices.SortFunc(a.Inbound, func(x, y InboundPort) int {
		return cmp.Or(cmp.Compare(x.Port, y.Port), cmp.Compare(x.Cluster, y.Cluster))
	})
	a.Outbound = append([]OutboundPort{}, a.Outbound...)
	slices.SortFunc(a.Outbound, func(x, y OutboundPort) int {
		return cmp.Or(cmp.Compare(x.Port, y.Port), cmp.Compare(x.Listener, y.Listener))
	})
	a.Gateway = slices.Clone(a.Gateway)
	slices.SortFunc(a.Gateway, func(x, y GatewayPort) int {
		return cmp.Or(cmp.Compare(x.Port, y.Port), cmp.Compare(x.Listener, y.Listener))
	})
	if err := a.check(); err != nil {
		return nil, err
	}
	return encodeJSON("agent policy", a)
}

// DecodeAgentPolicy reads an agent policy's blob.
func DecodeAgentPolicy(data []byte) (AgentPolicy, error) {
	var a AgentPolicy
	if err := DecodeJSON(data, &a); err != nil {
		return AgentPolicy{}, fmt.Errorf("reading agent policy: %w", err)
	}
	return a, a.check()
}

func (a AgentPolicy) check() error {
	if len(a.Inbound) > maxEntries || len(a.Outbound) > maxEntries || len(a.Gateway) > maxEntries {
		return fmt.Errorf("agent policy: more than %d ports", maxEntries)
	}
	if a.Engine != EngineRBAC && a.Engine != EngineOPA {
		return fmt.Errorf("agent policy: unknown engine %.100q", a.Engine)
	}
	if a.Capture != CaptureNone && a.Capture != CaptureRedirect {
		return fmt.Errorf("agent policy: unknown capture %.100q", a.Capture)
	}
	for _, in := range a.Inbound {
		if in.Port == 0 || in.Port > 65535 || in.Cluster == "" {
			return fmt.Errorf("agent policy: inbound port %d of cluster %.100q: want a port and a cluster", in.Port, in.Cluster)
		}
	}
	for _, out := range a.Outbound {
		if out.Port == 0 || out.Port > 65535 {
			return fmt.Errorf("agent policy: outbound %d is not a port", out.Port)
		}
	}
	for _, g := range a.Gateway {
		if g.Port == 0 || g.Port > 65535 || g.Listener == "" {
			return fmt.Errorf("agent policy: gateway port %d of listener %.100q: want a port and a listener", g.Port, g.Listener)
		}
	}
	return nil
}
