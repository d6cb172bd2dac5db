package feature_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

const repositories = "../../testdata/repos"

// TestSlicesAreValid has Envoy validate every distinct slice of every policy
// repository of testdata, with its routes inline.
func TestSlicesAreValid(t *testing.T) {
	envoytest.Require(t)
	for _, root := range []string{repositories, features} {
		for _, dir := range directories(t, root) {
			t.Run(filepath.Base(root)+"/"+filepath.Base(dir), func(t *testing.T) {
				t.Parallel()
				release := built(t, dir)
				seen := map[artifact.Digest]bool{}
				for _, leaf := range release.Leaves() {
					if seen[leaf.Slice] {
						continue
					}
					seen[leaf.Slice] = true
					if err := validate(t, static(t, release, leaf)); err != nil {
						t.Errorf("the slice of %s: %v", leaf.Workload, err)
					}
				}
			})
		}
	}
}

// TestDuplicateDomainIsInvalid shows that the validation looks at routes.
func TestDuplicateDomainIsInvalid(t *testing.T) {
	envoytest.Require(t)
	t.Parallel()
	release := built(t, filepath.Join(repositories, "shop"))
	b := static(t, release, release.Leaves()[0])
	duplicateDomain(t, b)
	err := validate(t, b)
	if err == nil || !strings.Contains(err.Error(), "Only unique values for domains are permitted") {
		t.Errorf("a duplicate domain: got %v", err)
	}
}

// duplicateDomain gives the first virtual host of the outbound routes a twin.
func duplicateDomain(t *testing.T, b *bootstrapv3.Bootstrap) {
	t.Helper()
	for _, l := range b.StaticResources.Listeners {
		if l.Name != "outbound" {
			continue
		}
		config := l.FilterChains[0].Filters[0].GetTypedConfig()
		var hcm hcmv3.HttpConnectionManager
		if err := config.UnmarshalTo(&hcm); err != nil {
			t.Fatal(err)
		}
		routes := hcm.GetRouteConfig()
		twin := proto.CloneOf(routes.VirtualHosts[0])
		twin.Name += "-twin"
		routes.VirtualHosts = append(routes.VirtualHosts, twin)
		if err := config.MarshalFrom(&hcm); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("the slice has no listener outbound")
}

func built(t *testing.T, dir string) *artifact.Release {
	t.Helper()
	r, diags := compiler.Compile(os.DirFS(dir), compiler.Options{})
	if diags.HasErrors() {
		t.Fatalf("%s does not compile: %+v", dir, diags)
	}
	return r.Release
}

func static(t *testing.T, r *artifact.Release, l artifact.Leaf) *bootstrapv3.Bootstrap {
	t.Helper()
	b, err := meshtest.Static(r, l)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func validate(t *testing.T, b *bootstrapv3.Bootstrap) error {
	t.Helper()
	text, err := xds.JSON(b)
	if err != nil {
		t.Fatal(err)
	}
	return envoytest.Validate(t.Context(), text)
}
