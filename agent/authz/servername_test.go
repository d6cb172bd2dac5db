package authz_test

import (
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/mesh-compile/mesh-compile/agent/authz"
)

func TestServerName(t *testing.T) {
	t.Parallel()
	s := authz.NewServer()
	if err := s.Load(t.Context(), pack(t, head+`decision := {"allow": true, "rule": input.attributes.tlsSession.sni}`)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		principal string
		session   *authv3.AttributeContext_TLSSession
		status    int
		rule      string
	}{
		"told":      {"spiffe://a/b", &authv3.AttributeContext_TLSSession{Sni: "shop"}, 200, "shop"},
		"no name":   {"spiffe://a/b", &authv3.AttributeContext_TLSSession{}, 200, ""},
		"plaintext": {"", nil, 200, ""},
		"not told":  {"spiffe://a/b", nil, 403, ""},
	} {
		r := request("GET", "/", test.principal)
		r.Attributes.TlsSession = test.session
		if status, rule := ask(t, s, r); status != test.status || rule != test.rule {
			t.Errorf("%s: got %d %q, want %d %q", name, status, rule, test.status, test.rule)
		}
	}
}
