package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// egress refuses external services at addresses that are never a service: those
// of this machine, and link-local ones, where clouds serve credentials
// (169.254.169.254). An agent would refuse the whole slice (EG-03, EG-10).
func (c *checker) egress() {
	for _, e := range c.in.Externals {
		for _, at := range e.Endpoints {
			c.egressAddress(e, at.Address, at.Span)
		}
		if len(e.Endpoints) == 0 {
			for i, host := range e.Hosts {
				c.egressAddress(e, host, spanAt(e.HostsAt, i, e.Span))
			}
		}
	}
}

func (c *checker) egressAddress(e *mesh.External, address string, at source.Span) {
	why := c.notAService(address)
	if why == "" {
		return
	}
	report(&c.diags, e.Origin, diag.Diagnostic{
		Code: EgressAddress, Severity: diag.Error, Span: at,
		Message: fmt.Sprintf("external service %s is at %s, %s", e.Name, address, why),
		Fix:     &diag.Fix{Message: "write the address or name of the service outside; on one machine, list the loopback network in Mesh.spec.endpointCIDRs"},
	})
}

// notAService says why no service is at an address, "" where there may be one.
func (c *checker) notAService(address string) string {
	name := strings.ToLower(strings.TrimSuffix(address, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return "which is the proxy's own machine"
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	ip = ip.Unmap()
	switch {
	case ip.IsLoopback() && !slices.ContainsFunc(c.set.EndpointCIDRs, loopbackNetworkOf(ip)):
		return "which is the proxy's own machine"
	case ip.IsLinkLocalUnicast(), ip.IsMulticast(), ip.IsUnspecified():
		return "which is link-local, multicast or unspecified"
	}
	return ""
}

// loopbackNetworkOf selects networks on loopback that hold ip, as agents do.
func loopbackNetworkOf(ip netip.Addr) func(string) bool {
	return func(block string) bool {
		network, err := netip.ParsePrefix(block)
		return err == nil && network.Addr().IsLoopback() && network.Contains(ip)
	}
}
