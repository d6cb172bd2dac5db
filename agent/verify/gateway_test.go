package verify_test

import (
	"strings"
	"testing"

	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// edge is a gateway's listener that demands a client's certificate.
const edge = `{"name":"edge","address":{"socketAddress":{"address":"0.0.0.0","portValue":443}},"filterChains":[{"filters":[
	{"name":"t","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy","statPrefix":"s","cluster":"live"}}],
	"transportSocket":{"name":"tls","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
	"requireClientCertificate":true,"commonTlsContext":{
	"tlsCertificateSdsSecretConfigs":[{"name":"certificate/shop","sdsConfig":` + adsSource + `}],
	"combinedValidationContext":{"defaultValidationContext":{},"validationContextSdsSecretConfig":{"name":"ca/partners","sdsConfig":` + adsSource + `}}}}}}]}`

func TestGatewayListener(t *testing.T) {
	t.Parallel()
	if err := verify.Resources(content(t, artifact.EngineOPA, live, edge)); err != nil {
		t.Errorf("a gateway is refused: %v", err)
	}
	for _, c := range []struct{ name, in, old, new, says string }{
		{"workload's certificate", edge, "certificate/shop", "default", "not one of the agent's|no certificate for strangers"},
		{"path", edge, "certificate/shop", "certificate/../shop", "no certificate for strangers|not one of the agent's"},
		{"hidden", edge, "certificate/shop", "certificate/.shop", "no certificate for strangers|not one of the agent's"},
		{"CA as certificate", edge, "certificate/shop", "ca/shop", "no certificate for strangers"},
		{"mesh roots for strangers", edge, "ca/partners", "ROOTCA", "CA that is a file"},
		{"own roots", edge, `"defaultValidationContext":{}`, `"defaultValidationContext":{"trustedCa":{"inlineString":"x"}}`, "roots of the release's own"},
		{"expired clients", edge, `"defaultValidationContext":{}`, `"defaultValidationContext":{"allowExpiredCertificate":true}`, "untrusted or expired"},
		{"to the application", edge, `"cluster":"live"`, `"cluster":"app"`, "only an inbound listener"},
		{"to the agent", edge, `"cluster":"live"`, `"cluster":"agent"`, "may not be sent to the agent"},
		{"not a gateway's listener", edge, `"name":"edge"`, `"name":"other"`, "takes its roots|not one of the agent's"},
		{"key of a gateway towards others", live, `"default"`, `"certificate/shop"`, "not one of the agent's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			spoilt := strings.Replace(c.in, c.old, c.new, 1)
			if spoilt == c.in {
				t.Fatalf("nothing to spoil: %s", c.old)
			}
			err := verify.Resources(content(t, artifact.EngineRBAC, live, application, spoilt))
			if err == nil || !says(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func says(text, alternatives string) bool {
	for one := range strings.SplitSeq(alternatives, "|") {
		if strings.Contains(text, one) {
			return true
		}
	}
	return false
}
