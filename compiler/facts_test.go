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

// A service's clusters, the labels of their pods and what the policies write of
// endpoints are all that a controller needs to find the rest of them.
func TestDiscovery(t *testing.T) {
	fsys := fstest.MapFS{"policy.yaml": {Data: []byte(`apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec: {trustDomain: shop.example}
---
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: web}, {name: grpc, port: 81, targetPort: 9090}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: catalog-v1, namespace: shop}
spec:
  template:
    metadata: {labels: {app: catalog, version: v1}}
    spec: {containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: catalog-vm, namespace: shop}
spec:
  service: catalog
  version: vm
  ports: [{name: web, port: 8080, protocol: http}]
  locality: {region: eu, zone: a}
  endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, port: 18080}]
---
apiVersion: mesh-compile.dev/v1alpha1
kind: ExternalService
metadata: {name: bank, namespace: shop}
spec:
  hosts: [bank.example]
  resolution: dns
  ports: [{name: https, port: 443, protocol: tls}]
`)}}
	result, diags := compiler.Compile(fsys, compiler.Options{})
	if result.Release == nil {
		t.Fatalf("no release: %v", diags)
	}
	data, _ := result.Release.Aux(artifact.Discovery)
	got, err := artifact.DecodeDiscovery(data)
	if err != nil {
		t.Fatal(err)
	}
	vm := func(port uint32) []artifact.WrittenEndpoint {
		return []artifact.WrittenEndpoint{{Host: "10.0.0.1", Port: port, Locality: "eu/a", Weight: 1}}
	}
	v1 := map[string]string{"version": "v1"}
	want := []artifact.DiscoveredService{{Namespace: "shop", Name: "catalog", Clusters: []artifact.DiscoveredCluster{
		{Name: "outbound|80|v1|catalog.shop", PortName: "http", Targets: []uint32{8080}, Selector: v1},
		{Name: "outbound|80|vm|catalog.shop", PortName: "http", Targets: []uint32{8080}, Selector: map[string]string{"version": "vm"}, Written: vm(8080)},
		{Name: "outbound|80||catalog.shop", PortName: "http", Targets: []uint32{8080}, Written: vm(8080)},
		{Name: "outbound|81|v1|catalog.shop", PortName: "grpc", Targets: []uint32{9090}, Selector: v1},
		{Name: "outbound|81|vm|catalog.shop", PortName: "grpc", Targets: []uint32{9090}, Selector: map[string]string{"version": "vm"}, Written: vm(9090)},
		{Name: "outbound|81||catalog.shop", PortName: "grpc", Targets: []uint32{9090}, Written: vm(9090)},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
