package dialect

import (
	"slices"
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
		{"networking.istio.io/v1", "WorkloadEntry", "write a MeshWorkload"},
		{"networking.istio.io/v1beta1", "ProxyConfig", "remove it: a release configures a proxy that runs already; concurrency is the agent's --concurrency"},
		{"networking.istio.io/v1", "VirtualServce", "did you mean VirtualService?"},
		{"networking.istio.io/v2", "VirtualService", "write apiVersion networking.istio.io/v1 "},
		{"security.istio.io/v1", "RequestAuthentication", "tokens are not verified yet"},
		{"extensions.istio.io/v1alpha1", "WasmPlugin", "remove it: there is no native way"},
		{"gateway.networking.k8s.io/v1", "UDPRoute", "remove it"},
		{"gateway.networking.k8s.io/v1", "HTTPRout", "did you mean HTTPRoute?"},
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

// A deny of a kind that is not listed here would be left out like a route.
func TestKindsThatRestrict(t *testing.T) {
	var got []string
	for _, k := range Kinds() {
		if k.Restricts {
			got = append(got, k.Group+" "+k.Kind)
		}
	}
	want := []string{
		"mesh-compile.dev AccessPolicy", "mesh-compile.dev AuthenticationPolicy", "mesh-compile.dev Invariant", "mesh-compile.dev Mesh", "mesh-compile.dev RateLimitPolicy",
		"security.istio.io AuthorizationPolicy", "security.istio.io PeerAuthentication",
		"policy.linkerd.io AuthorizationPolicy", "policy.linkerd.io HTTPRoute", "policy.linkerd.io Server", "policy.linkerd.io ServerAuthorization",
	}
	if !slices.Equal(got, want) {
		t.Errorf("kinds that restrict are %q, want %q", got, want)
	}
}

// TestKindsWithoutTranslator: what may refuse requests restricts, also a kind that
// nobody has heard of.
func TestKindsWithoutTranslator(t *testing.T) {
	for _, test := range []struct {
		group, kind             string
		read, policy, restricts bool
	}{
		{"security.istio.io", "RequestAuthentication", true, true, true},
		{"networking.istio.io", "EnvoyFilter", true, true, true},
		{"extensions.istio.io", "WasmPlugin", true, true, true},
		{"policy.linkerd.io", "HTTPLocalRateLimitPolicy", true, true, true},
		{"gateway.networking.k8s.io", "Unheard", true, true, true},
		{"networking.istio.io", "ProxyConfig", true, true, false},
		{"gateway.networking.k8s.io", "UDPRoute", true, true, false},
		{"apps", "ReplicaSet", false, false, false},
		{"example.com", "HTTPRoute", false, false, false},
	} {
		k, read := KindOf(test.group, test.kind)
		if read != test.read || k.Policy != test.policy || k.Restricts != test.restricts || k.Translated {
			t.Errorf("%s %s: read %t, %+v", test.group, test.kind, read, k)
		}
	}
	if k, _ := KindOf("security.istio.io", "AuthorizationPolicy"); !k.Translated || len(k.Versions) == 0 {
		t.Errorf("AuthorizationPolicy has a translator: %+v", k)
	}
}

// TestRoutesOfServersRestrict: what a Server answers is what its routes match.
func TestRoutesOfServersRestrict(t *testing.T) {
	for _, test := range []struct {
		group, kind, text string
		restricts         bool
	}{
		{"gateway.networking.k8s.io", "HTTPRoute", "parentRefs: [{group: policy.linkerd.io, kind: Server, name: a}]", true},
		{"gateway.networking.k8s.io", "GRPCRoute", "parentRefs: [{group: policy.linkerd.io, kind: Server, name: a}]", true},
		{"gateway.networking.k8s.io", "HTTPRoute", "parentRefs: [{name: a}]", false},
		{"gateway.networking.k8s.io", "Gateway", "policy.linkerd.io", false},
		{"policy.linkerd.io", "HTTPRoute", "parentRefs: [{name: a}]", true},
	} {
		k, _ := KindOf(test.group, test.kind)
		if got := k.Of([]byte(test.text)).Restricts; got != test.restricts {
			t.Errorf("%s %s with %q restricts: %t", test.group, test.kind, test.text, got)
		}
	}
}

func TestUnrestrictingKindsExist(t *testing.T) {
	for _, name := range unrestricting {
		group, kind, _ := strings.Cut(name, " ")
		k, read := KindOf(group, kind)
		if !read || k.Restricts || !k.Translated && hints[Of(group)] != nil && hints[Of(group)](kind) == "" {
			t.Errorf("%q is no kind that we read or name", name)
		}
	}
}
