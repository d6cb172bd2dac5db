package dialect

import (
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/dialect/dialecttest"
	"github.com/mesh-compile/mesh-compile/compiler/load"
)

func TestUnsupported(t *testing.T) {
	dialecttest.Golden(t, "testdata/*.txtar", Translate)
}

func TestLookup(t *testing.T) {
	for _, c := range []struct {
		version, kind string
		want          Status
	}{
		{"mesh-compile.dev/v1alpha1", "MeshRoute", Supported},
		{"mesh-compile.dev/v1alpha1", "Ownership", Unsupported},
		{"mesh-compile.dev/v2", "MeshRoute", Unsupported},
		{"gateway.networking.k8s.io/v1", "HTTPRoute", Unsupported},
		{"policy.linkerd.io/v1beta3", "Server", Unsupported},
		{"networking.istio.io/v1", "NoSuchKind", Unsupported},
		{"v1", "Service", Supported},
		{"v1", "ConfigMap", Foreign},
		{"apps/v1", "ReplicaSet", Foreign},
		{"kustomize.config.k8s.io/v1beta1", "Kustomization", Supported},
		{"example.com/v1", "MeshRoute", Foreign},
		{"", "", Foreign},
	} {
		if _, got := Lookup(c.version, c.kind); got != c.want {
			t.Errorf("Lookup(%q, %q) = %d, want %d", c.version, c.kind, got, c.want)
		}
	}
}

func TestReading(t *testing.T) {
	for _, c := range []struct {
		group, kind string
		want        load.Reading
	}{
		{"mesh-compile.dev", "Mesh", load.Reading{Read: true, Strict: true, Cluster: true}},
		{"mesh-compile.dev", "MeshRoute", load.Reading{Read: true, Strict: true}},
		{"linkerd.io", "ServiceProfile", load.Reading{Read: true, Strict: true}},
		{"", "Namespace", load.Reading{Read: true, Cluster: true}},
		{"", "Service", load.Reading{Read: true}},
		{"", "Secret", load.Reading{}},
		{"apps", "Deployment", load.Reading{Read: true}},
		{"kustomize.config.k8s.io", "Kustomization", load.Reading{}},
		{"example.com", "Service", load.Reading{}},
	} {
		if got := Reading(c.group, c.kind); got != c.want {
			t.Errorf("Reading(%q, %q) = %+v, want %+v", c.group, c.kind, got, c.want)
		}
	}
}
