package xds

import (
	"errors"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

const tlsTransportSocket = "envoy.transport_sockets.tls"

// meshALPN is offered where bytes and not requests travel, so that a permissive
// port can tell a mesh connection from TLS that is the application's own.
const meshALPN = "mesh-compile"

func secret(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: adsSource()}
}

// meshTLS is the part that both sides of mesh TLS share: TLS 1.3 (a client's
// maximum would be 1.2), the workload's certificate, and a peer with one of sans.
// What is signed here are the SANs; the agent adds the roots and nothing else.
func meshTLS(sans []*matcherv3.StringMatcher) *tlsv3.CommonTlsContext {
	pinned := &tlsv3.CertificateValidationContext{}
	for _, san := range sans {
		pinned.MatchTypedSubjectAltNames = append(pinned.MatchTypedSubjectAltNames,
			&tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: san})
	}
	return &tlsv3.CommonTlsContext{
		TlsParams: &tlsv3.TlsParameters{
			TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
			TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
		},
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secret(CertificateSecret)},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         pinned,
				ValidationContextSdsSecretConfig: secret(RootsSecret),
			},
		},
	}
}

func exactly(value string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: value}}
}

// serverTLS demands a client of the trust domain; which one may do what is
// access. Sessions are not resumed: a resumed one would outlive its roots.
func (p *packer) serverTLS(s *check.Settings, protocol mesh.Protocol) *corev3.TransportSocket {
	common := meshTLS([]*matcherv3.StringMatcher{{
		MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + s.TrustDomain + "/"},
	}})
	common.AlpnProtocols = []string{meshALPN}
	if protocol.IsHTTP() {
		common.AlpnProtocols = []string{"h2", "http/1.1"}
	}
	return p.transportSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext:                 common,
		RequireClientCertificate:         wrapperspb.Bool(true),
		SessionTicketKeysType:            &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		DisableStatefulSessionResumption: true,
	})
}

func (p *packer) transportSocket(m message) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       tlsTransportSocket,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: p.any(m)},
	}
}

// clientTLS is the transport towards a backend; nil is plaintext.
func (p *packer) clientTLS(b *check.Backend) *corev3.TransportSocket {
	switch b.TLS {
	case check.TLSMesh:
		return p.transportSocket(p.meshClientTLS(b))
	case check.TLSSimple:
		return p.transportSocket(p.simpleTLS(b))
	case check.TLSPlain:
		return nil
	}
	p.fail(unknown("transport", b.TLS))
	return nil
}

var errNoIdentity = errors.New("mesh TLS without an identity to expect would trust every workload")

// meshClientTLS pins the identities that may answer. HTTP leaves ALPN to Envoy,
// which offers what the connection pool speaks.
func (p *packer) meshClientTLS(b *check.Backend) *tlsv3.UpstreamTlsContext {
	if len(b.Identities) == 0 {
		p.fail(errNoIdentity)
	}
	var sans []*matcherv3.StringMatcher
	for _, id := range b.Identities {
		sans = append(sans, exactly(id))
	}
	common := meshTLS(sans)
	if !b.Port.Protocol.IsHTTP() {
		common.AlpnProtocols = []string{meshALPN}
	}
	return &tlsv3.UpstreamTlsContext{
		CommonTlsContext: common,
		Sni:              ServerName(b),
		MaxSessionKeys:   wrapperspb.UInt32(0), // no resumption
	}
}

// SystemRoots is where Envoy's images, like Debian and Alpine, keep the public
// roots. Envoy ignores system_root_certs, which only gRPC's clients read.
const SystemRoots = "/etc/ssl/certs/ca-certificates.crt"

// simpleTLS verifies a server outside the mesh by name, never only by its chain.
func (p *packer) simpleTLS(b *check.Backend) *tlsv3.UpstreamTlsContext {
	c := b.Traffic.ClientTLS
	if c == nil {
		c = &mesh.ClientTLS{}
	}
	name := c.SNI
	if name == "" && !verifiesRequestHost(b) {
		name, _ = dnsName(b.Port.Service)
	}
	out := &tlsv3.UpstreamTlsContext{
		Sni: name,
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams: &tlsv3.TlsParameters{
				TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2,
				TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
			},
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: p.serverNames(c, name, verifiesRequestHost(b))},
		},
	}
	if c.Cert != "" {
		out.CommonTlsContext.TlsCertificates = []*tlsv3.TlsCertificate{{
			CertificateChain: dataSource(c.Cert, c.Path), PrivateKey: dataSource(c.ClientKey, c.Path),
		}}
	}
	return out
}

func (p *packer) serverNames(c *mesh.ClientTLS, name string, byRequest bool) *tlsv3.CertificateValidationContext {
	out := &tlsv3.CertificateValidationContext{}
	if c.SkipCheck {
		out.TrustChainVerification = tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED
		return out
	}
	if c.CACerts != "" {
		out.TrustedCa = dataSource(c.CACerts, c.Path)
	} else {
		out.TrustedCa = dataSource(SystemRoots, true)
	}
	names := c.SANs
	if len(names) == 0 && name != "" {
		names = []string{name}
	}
	if len(names) == 0 && !byRequest {
		p.fail(fmt.Errorf("TLS to a server without a name to verify"))
	}
	for _, n := range names {
		out.MatchTypedSubjectAltNames = append(out.MatchTypedSubjectAltNames,
			&tlsv3.SubjectAltNameMatcher{SanType: sanType(n), Matcher: exactly(n)})
	}
	return out
}

func sanType(name string) tlsv3.SubjectAltNameMatcher_SanType {
	if strings.Contains(name, "://") {
		return tlsv3.SubjectAltNameMatcher_URI
	}
	return tlsv3.SubjectAltNameMatcher_DNS
}

func dataSource(value string, isPath bool) *corev3.DataSource {
	if isPath {
		return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: value}}
	}
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: value}}
}
