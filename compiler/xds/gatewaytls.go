package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Names of secrets that the agent reads from the files that an operator mounts.
const (
	FileCertificate = "certificate/" // and the name of a directory with tls.crt and tls.key
	FileCA          = "ca/"          // and the name of a directory with ca.crt
)

// secretWithin bounds the wait for a file's secret: a listener is not ready before
// each of its chains has one, and one that is missing must not keep the others shut
// (config_source.proto, initial_fetch_timeout). The chain itself refuses until then.
const secretWithin = 3 * time.Second

func fileSecret(name string) *tlsv3.SdsSecretConfig {
	out := secret(name)
	out.SdsConfig.InitialFetchTimeout = durationpb.New(secretWithin)
	return out
}

// gatewayTLS ends clients' TLS with certificates that are files beside the agent.
func (p *packer) gatewayTLS(l *check.GatewayListener) *corev3.TransportSocket {
	t := l.TLS
	common := &tlsv3.CommonTlsContext{TlsParams: &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: tlsVersion(t.MinVersion, tlsv3.TlsParameters_TLSv1_2),
		TlsMaximumProtocolVersion: tlsVersion(t.MaxVersion, tlsv3.TlsParameters_TLSv1_3),
		CipherSuites:              t.CipherSuites,
	}}
	if l.Protocol == mesh.ListenHTTPS {
		common.AlpnProtocols = []string{"h2", "http/1.1"}
	}
	for _, c := range t.Certificates {
		common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, fileSecret(FileCertificate+c.Name))
	}
	out := &tlsv3.DownstreamTlsContext{CommonTlsContext: common}
	if t.Mode == mesh.TLSTerminate {
		return p.transportSocket(out)
	}
	out.RequireClientCertificate = wrapperspb.Bool(t.Mode == mesh.TLSMutual)
	// A resumed session would outlive its CA.
	out.SessionTicketKeysType = &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true}
	out.DisableStatefulSessionResumption = true
	named := &tlsv3.CertificateValidationContext{}
	for _, san := range t.SubjectAltNames {
		named.MatchTypedSubjectAltNames = append(named.MatchTypedSubjectAltNames,
			&tlsv3.SubjectAltNameMatcher{SanType: sanType(san.Value), Matcher: exactly(san.Value)})
	}
	common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         named,
			ValidationContextSdsSecretConfig: fileSecret(FileCA + t.ClientCA.Name),
		}}
	return p.transportSocket(out)
}

func tlsVersion(text string, otherwise tlsv3.TlsParameters_TlsProtocol) tlsv3.TlsParameters_TlsProtocol {
	switch text {
	case "1.2":
		return tlsv3.TlsParameters_TLSv1_2
	case "1.3":
		return tlsv3.TlsParameters_TLSv1_3
	}
	return otherwise
}
