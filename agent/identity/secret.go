package identity

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/xds"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Names of the secrets, by which slices ask for them.
const (
	CertificateSecret = "default"
	RootsSecret       = "ROOTCA"
)

// Secrets returns what Envoy is served: the workload's certificate, and the
// signed roots. The validation context has trusted_ca and nothing else: Envoy
// merges it into the signed one by concatenating matchers and joining booleans
// (tls.proto, combined_validation_context), so another field could open what
// the release closes.
func Secrets(c *Credential, roots []byte) ([]xds.Resource, error) {
	out := []*tlsv3.Secret{{Name: CertificateSecret, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: Inline(c.chain), PrivateKey: Inline(c.key)},
	}}}
	if len(roots) > 0 {
		out = append(out, &tlsv3.Secret{Name: RootsSecret, Type: &tlsv3.Secret_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: Inline(roots)},
		}})
	}
	var resources []xds.Resource
	for _, s := range out {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("making secret %s: %w", s.GetName(), err)
		}
		resources = append(resources, xds.Resource{Name: s.GetName(), Version: artifact.DigestOf(data).Hex(), Bytes: data})
	}
	return resources, nil
}

// Inline is data that stands in the configuration itself.
func Inline(data []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: data}}
}
