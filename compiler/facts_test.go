package compiler_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// An endpoint's own port must be among those that the release signs, or the agent
// drops the endpoint.
func TestConstraintsHoldEndpointPorts(t *testing.T) {
	fsys := fstest.MapFS{"policy.yaml": {Data: []byte(`apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec: {trustDomain: shop.example, capture: none}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: catalog, namespace: shop}
spec:
  service: catalog
  ports: [{name: http, port: 8080, protocol: http}]
  endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, port: 18080}]
`)}}
	result, diags := compiler.Compile(fsys, compiler.Options{})
	if result.Release == nil {
		t.Fatalf("no release: %v", diags)
	}
	data, _ := result.Release.Blob(result.Release.Leaves()[0].Constraints)
	c, err := artifact.DecodeConstraints(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint32{8080, 18080}, c.Clusters[0].Ports); diff != "" {
		t.Error(diff)
	}
}
