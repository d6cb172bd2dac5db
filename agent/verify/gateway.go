package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Prefixes of the secrets that an agent reads from mounted directories.
const (
	FileCertificate = "certificate/"
	FileCA          = "ca/"
)

// FileOf is the directory that a secret is read from; ok is false for other secrets
// and for names that could lead anywhere else.
func FileOf(secret string) (name string, ca, ok bool) {
	name, ca = strings.CutPrefix(secret, FileCA)
	if !ca {
		if name, ok = strings.CutPrefix(secret, FileCertificate); !ok {
			return "", false, false
		}
	}
	return name, ca, isFileName(name)
}

// isFileName holds for what the schema calls a FileName: it has no slash and does
// not begin with a dot.
func isFileName(name string) bool {
	for i := range len(name) {
		c := name[i]
		inner := i > 0 && i < len(name)-1
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !(inner && (c == '-' || c == '.')) {
			return false
		}
	}
	return name != "" && len(name) <= 253
}

// gateway reports whether clients from outside the mesh reach the listener.
func (in inspection) gateway(listener string) bool {
	return slices.ContainsFunc(in.policy.Gateway, func(p artifact.GatewayPort) bool { return p.Listener == listener })
}

// gatewayListener has certificates of its own, which are files beside the agent: a
// workload's certificate proves a workload, and is not for strangers.
func (in inspection) gatewayListener(l *listenerv3.Listener) error {
	for _, c := range l.GetFilterChains() {
		socket := c.GetTransportSocket().GetTypedConfig()
		if socket == nil {
			continue
		}
		m, err := decode(socket.GetTypeUrl(), socket.GetValue())
		if err != nil {
			return err
		}
		tls, ok := m.(*tlsv3.DownstreamTlsContext)
		if !ok {
			continue
		}
		if err := fileTLS(tls); err != nil {
			return fmt.Errorf("chain %q: %w", c.GetName(), err)
		}
	}
	return nil
}

func fileTLS(tls *tlsv3.DownstreamTlsContext) error {
	c := tls.GetCommonTlsContext()
	if len(c.GetTlsCertificates()) > 0 || len(c.GetTlsCertificateSdsSecretConfigs()) == 0 {
		return errors.New("a gateway's certificates are files beside the agent")
	}
	for _, s := range c.GetTlsCertificateSdsSecretConfigs() {
		if _, ca, ok := FileOf(s.GetName()); !ok || ca {
			return fmt.Errorf("secret %.100q is no certificate for strangers", s.GetName())
		}
	}
	combined := c.GetCombinedValidationContext()
	if combined == nil {
		if tls.GetRequireClientCertificate().GetValue() || c.GetValidationContextType() != nil {
			return errors.New("client certificates are held to a CA that is a file beside the agent")
		}
		return nil
	}
	v := combined.GetDefaultValidationContext()
	switch _, ca, ok := FileOf(combined.GetValidationContextSdsSecretConfig().GetName()); {
	case !ok || !ca:
		return errors.New("client certificates are held to a CA that is a file beside the agent")
	case v.GetTrustedCa() != nil || v.GetSystemRootCerts() != nil || v.GetCaCertificateProviderInstance() != nil || v.GetCustomValidatorConfig() != nil:
		return errors.New("client certificates with roots of the release's own")
	case v.GetTrustChainVerification() != tlsv3.CertificateValidationContext_VERIFY_TRUST_CHAIN || v.GetAllowExpiredCertificate():
		return errors.New("untrusted or expired client certificates are not taken")
	}
	return nil
}

// FileSecrets are the secrets that a release's gateways take from mounted files.
func (r *Release) FileSecrets() []string {
	var out []string
	in := inspection{policy: r.AgentPolicy}
	for _, resource := range r.Resources {
		if !in.gateway(resource.Name) {
			continue
		}
		m, err := decode(resource.Type, resource.Bytes)
		l, ok := m.(*listenerv3.Listener)
		if err != nil || !ok {
			continue
		}
		for _, c := range l.GetFilterChains() {
			m, err := decode(c.GetTransportSocket().GetTypedConfig().GetTypeUrl(), c.GetTransportSocket().GetTypedConfig().GetValue())
			tls, ok := m.(*tlsv3.DownstreamTlsContext)
			if err != nil || !ok {
				continue
			}
			for _, s := range tls.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs() {
				out = append(out, s.GetName())
			}
			if s := tls.GetCommonTlsContext().GetCombinedValidationContext().GetValidationContextSdsSecretConfig(); s != nil {
				out = append(out, s.GetName())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
