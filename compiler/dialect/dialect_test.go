package dialect

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/mesh-compile/mesh-compile/compiler/load"
)

// TestUnsupported: a kind of a policy group that is not translated is an error
// that says what to do instead.
func TestUnsupported(t *testing.T) {
	for _, test := range []struct{ version, kind, fix string }{
		{"networking.istio.io/v1alpha3", "EnvoyFilter", "there is no raw Envoy configuration"},
		{"networking.istio.io/v1", "ServiceEntry", "write an ExternalService"},
		{"networking.istio.io/v1", "VirtualServce", "did you mean VirtualService?"},
		{"networking.istio.io/v2", "VirtualService", "write apiVersion networking.istio.io/v1 "},
		{"security.istio.io/v1", "RequestAuthentication", "tokens are not verified yet"},
		{"extensions.istio.io/v1alpha1", "WasmPlugin", "remove it: there is no native way"},
		{"gateway.networking.k8s.io/v1", "GatewayClass", "the native kind is MeshRoute"},
	} {
		text := "apiVersion: " + test.version + "\nkind: " + test.kind + "\nmetadata: {name: x, namespace: y}\n"
		result, _ := load.Load(fstest.MapFS{"in.yaml": {Data: []byte(text)}}, load.Options{Groups: Reading})
		if len(result.Documents) != 1 {
			t.Fatalf("%s %s: %d documents", test.version, test.kind, len(result.Documents))
		}
		_, diags := Translate(result.Documents[0])
		if len(diags) != 1 || diags[0].Fix == nil || !strings.HasPrefix(diags[0].Fix.Message, test.fix) {
			t.Errorf("%s %s: got %+v, want the fix %q", test.version, test.kind, diags, test.fix)
		}
	}
}
