package verify

import (
	"errors"
	"fmt"
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	networkextauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// agentCluster is the static cluster that leads to the agent.
const agentCluster = "agent"

func (in inspection) listener(l *listenerv3.Listener) error {
	if l.GetUdpListenerConfig() != nil || l.GetApiListener() != nil || l.GetInternalListener() != nil {
		return errors.New("only TCP listeners are taken")
	}
	if len(l.GetAdditionalAddresses()) > 0 {
		return errors.New("a listener has one address, which the agent may replace")
	}
	if in.outbound(l.GetName()) {
		return in.private(l)
	}
	if in.gateway(l.GetName()) {
		return in.gatewayListener(l)
	}
	chains := l.GetFilterChains()
	if d := l.GetDefaultFilterChain(); d != nil {
		chains = append(chains[:len(chains):len(chains)], d)
	}
	for _, c := range chains {
		if err := in.chain(c); err != nil {
			return fmt.Errorf("chain %q: %w", c.GetName(), err)
		}
	}
	return nil
}

// private: nothing is asked of who calls an outbound listener. Under redirect it
// gets what the kernel turns round, whatever address that had.
func (in inspection) private(l *listenerv3.Listener) error {
	socket := l.GetAddress().GetSocketAddress()
	if socket == nil || in.policy.Capture == artifact.CaptureRedirect {
		return nil // what is no socket address is not taken anyway
	}
	text := socket.GetAddress()
	if ip, err := netip.ParseAddr(text); err == nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("an outbound listener at %.100q takes calls from elsewhere", text)
}

func (in inspection) chain(c *listenerv3.FilterChain) error {
	if socket := c.GetTransportSocket().GetTypedConfig(); socket != nil {
		if err := serverTLS(socket); err != nil {
			return err
		}
	}
	if in.policy.Engine != artifact.EngineOPA {
		return nil
	}
	for _, f := range c.GetFilters() {
		asks, err := asksAgent(f.GetTypedConfig())
		if asks || err != nil {
			return err
		}
	}
	return errors.New("OPA decides for this workload, and nothing asks it")
}

// serverTLS: permissive ports have a chain without TLS, which says so; a chain
// with TLS always knows its caller.
func serverTLS(socket *anypb.Any) error {
	m, err := decode(socket.GetTypeUrl(), socket.GetValue())
	if err != nil {
		return err
	}
	tls, ok := m.(*tlsv3.DownstreamTlsContext)
	if !ok {
		return nil
	}
	if !tls.GetRequireClientCertificate().GetValue() {
		return errors.New("TLS without a client certificate is not taken")
	}
	return pinned(tls.GetCommonTlsContext())
}

// asksAgent reports whether the filter makes the agent decide before anything
// is forwarded.
func asksAgent(filter *anypb.Any) (bool, error) {
	m, err := decode(filter.GetTypeUrl(), filter.GetValue())
	if err != nil {
		return false, err
	}
	switch f := m.(type) {
	case *networkextauthzv3.ExtAuthz:
		return true, failsClosed(f.GetFailureModeAllow(), f.GetGrpcService())
	case *hcmv3.HttpConnectionManager:
		return httpAsks(f)
	}
	return false, nil
}

func httpAsks(h *hcmv3.HttpConnectionManager) (bool, error) {
	for _, f := range h.GetHttpFilters() {
		m, err := decode(f.GetTypedConfig().GetTypeUrl(), f.GetTypedConfig().GetValue())
		if err != nil {
			return false, err
		}
		authz, ok := m.(*extauthzv3.ExtAuthz)
		if !ok {
			continue
		}
		if f.GetDisabled() || f.GetIsOptional() || authz.GetFilterEnabled() != nil || authz.GetFilterEnabledMetadata() != nil {
			return false, errors.New("ext_authz that may be off does not enforce")
		}
		return true, failsClosed(authz.GetFailureModeAllow(), authz.GetGrpcService())
	}
	return false, nil
}

func failsClosed(open bool, service *corev3.GrpcService) error {
	if open {
		return errors.New("ext_authz goes on without an answer")
	}
	if got := service.GetEnvoyGrpc().GetClusterName(); got != agentCluster {
		return fmt.Errorf("ext_authz asks cluster %.100q, not the agent", got)
	}
	return nil
}
