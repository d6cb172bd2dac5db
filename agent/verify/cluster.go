package verify

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

func (in inspection) cluster(c *clusterv3.Cluster) error {
	switch {
	case c.GetName() == agentCluster:
		return errors.New("this name is the agent's own")
	case len(c.GetTransportSocketMatches()) > 0 || c.GetTransportSocketMatcher() != nil:
		return errors.New("endpoints may not choose their transport")
	case c.GetClusterType() != nil:
		return errors.New("cluster extensions are not taken")
	case c.GetOriginalDstLbConfig().GetUseHttpHeader():
		return errors.New("a request may not choose its address")
	case c.GetType() != clusterv3.Cluster_EDS:
		return in.signedAddresses(c)
	}
	if name := c.GetEdsClusterConfig().GetServiceName(); name != "" && name != c.GetName() {
		return fmt.Errorf("asks for the endpoints of %.200q", name)
	}
	if in.inbound(c.GetName()) {
		return nil // the agent's own configuration says where
	}
	return in.liveCluster(c)
}

// signedAddresses: what a release says of addresses is held to what is asked of
// live endpoints. On loopback are the agent's status and the proxy's own ports,
// at link-local addresses the credentials of clouds (EG-03, EG-10).
func (in inspection) signedAddresses(c *clusterv3.Cluster) error {
	for _, locality := range c.GetLoadAssignment().GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			text := strings.TrimSuffix(strings.ToLower(e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress()), ".")
			ip, err := netip.ParseAddr(text)
			ip = ip.Unmap()
			switch {
			case err != nil && text != "localhost" && !strings.HasSuffix(text, ".localhost"):
			case err == nil && !in.machine(ip):
			default:
				return fmt.Errorf("address %.100q is the machine's own, or link-local", text)
			}
		}
	}
	return nil
}

// machine reports whether an address is one that only this machine has, and that
// no signed network of loopback addresses holds.
func (in inspection) machine(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return !slices.ContainsFunc(in.networks, func(n netip.Prefix) bool { return n.Addr().IsLoopback() && n.Contains(ip) })
	}
	return ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast()
}

// liveCluster: unsigned endpoints are safe only where the peer proves one of
// the identities that the release names.
func (in inspection) liveCluster(c *clusterv3.Cluster) error {
	limits, ok := in.constraints[c.GetName()]
	if !ok || !limits.MTLS || len(limits.SANs) == 0 {
		return errors.New("takes live endpoints, and the release does not pin who answers")
	}
	socket := c.GetTransportSocket().GetTypedConfig()
	if socket == nil {
		return errors.New("takes live endpoints without TLS")
	}
	m, err := decode(socket.GetTypeUrl(), socket.GetValue())
	if err != nil {
		return err
	}
	tls, ok := m.(*tlsv3.UpstreamTlsContext)
	if !ok {
		return errors.New("takes live endpoints without TLS")
	}
	if err := pinned(tls.GetCommonTlsContext()); err != nil {
		return err
	}
	return pins(tls.GetCommonTlsContext(), limits.SANs)
}

// pins compares the matchers with the identities that the release names beside
// them.
func pins(c *tlsv3.CommonTlsContext, identities []string) error {
	for _, m := range c.GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames() {
		if id := m.GetMatcher().GetExact(); m.GetSanType() != tlsv3.SubjectAltNameMatcher_URI || !slices.Contains(identities, id) {
			return fmt.Errorf("pins %.200q, which is not among the release's identities for it", id)
		}
	}
	return nil
}

// pinned: signed matchers, roots from the agent, and nothing that accepts a
// peer besides. Envoy merges the two by concatenating matchers, so the agent's
// half has none (tls.proto, combined_validation_context).
func pinned(c *tlsv3.CommonTlsContext) error {
	combined := c.GetCombinedValidationContext()
	v := combined.GetDefaultValidationContext()
	switch {
	case combined == nil || combined.GetValidationContextSdsSecretConfig().GetName() != rootsSecret:
		return fmt.Errorf("mesh TLS takes its roots from secret %q", rootsSecret)
	case c.GetTlsParams().GetTlsMinimumProtocolVersion() != tlsv3.TlsParameters_TLS_AUTO && c.GetTlsParams().GetTlsMinimumProtocolVersion() < tlsv3.TlsParameters_TLSv1_2:
		return errors.New("mesh TLS older than 1.2")
	case len(v.GetMatchTypedSubjectAltNames()) == 0:
		return errors.New("mesh TLS without a subject to expect trusts everyone")
	case v.GetTrustedCa() != nil || v.GetSystemRootCerts() != nil || v.GetCaCertificateProviderInstance() != nil || v.GetCustomValidatorConfig() != nil:
		return errors.New("mesh TLS with roots of its own")
	case v.GetTrustChainVerification() != tlsv3.CertificateValidationContext_VERIFY_TRUST_CHAIN || v.GetAllowExpiredCertificate():
		return errors.New("mesh TLS that takes untrusted or expired certificates")
	}
	return nil
}
