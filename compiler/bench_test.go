package compiler_test

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

// routesPerService is what the sizes below are made of.
const routesPerService = 10

// repository makes a policy repository: one file a service, with its workload,
// its routes over two versions, and who may call it. Every workload uses five
// services, or with everyone what is the default: all of its namespace.
func repository(services int, everyone bool) fstest.MapFS {
	fsys := fstest.MapFS{"mesh.yaml": {Data: []byte(`apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: bench}
spec: {trustDomain: bench.example, capture: none}
`)}}
	for i := range services {
		fsys[fmt.Sprintf("services/s%04d.yaml", i)] = &fstest.MapFile{Data: []byte(service(i, services, everyone, 90))}
	}
	return fsys
}

// service is the file of one service; weight is that of v1 in the first route.
func service(i, services int, everyone bool, weight int) string {
	var b strings.Builder
	for _, version := range []string{"v1", "v2"} {
		fmt.Fprintf(&b, `apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: s%04d-%s, namespace: bench}
spec:
  service: s%04d
  version: %s
  serviceAccount: s%04d
  ports: [{name: http, port: 8080, protocol: http}]
  endpoints: [{address: 10.%d.%d.1}]
%s---
`, i, version, i, version, i, i/250, i%250, uses(i, services, everyone))
	}
	fmt.Fprintf(&b, `apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: s%04d, namespace: bench}
spec:
  service: s%04d
  rules:
`, i, i)
	for r := range routesPerService - 1 {
		fmt.Fprintf(&b, `  - name: route-%d
    match: [{path: {prefix: /api/%d}, methods: [GET]}]
    timeout: 800ms
    retry: {attempts: 2, perTryTimeout: 300ms, conditions: [connect-failure, reset], statuses: [503]}
    to: [{version: v1, weight: %d}, {version: v2, weight: %d}]
`, r, r, weight, 100-weight)
		weight = 90
	}
	fmt.Fprintf(&b, `  - name: rest
    to: [{version: v1}]
---
apiVersion: mesh-compile.dev/v1alpha1
kind: AccessPolicy
metadata: {name: s%04d, namespace: bench}
spec:
  service: s%04d
  allow:
  - name: callers
    from: {serviceAccounts: [{name: s%04d}]}
    to: {methods: [GET], paths: [{prefix: /api}]}
`, i, i, (i+1)%services)
	return b.String()
}

func uses(i, services int, everyone bool) string {
	if everyone {
		return ""
	}
	var names []string
	for k := range min(5, services) {
		names = append(names, fmt.Sprintf("{service: s%04d}", (i+k)%services))
	}
	return fmt.Sprintf("  uses: [%s]\n", strings.Join(names, ", "))
}

var sizes = []size{{100, false}, {1_000, false}, {10_000, false}, {10_000, true}}

func (s size) String() string {
	if s.everyone {
		return fmt.Sprintf("%d-routes-everyone", s.routes)
	}
	return fmt.Sprintf("%d-routes", s.routes)
}

type size struct {
	routes   int
	everyone bool
}

// BenchmarkCold is YAML to a signed release. heap-MB is what the result holds,
// peak-MB the most that the process had of the system's memory.
func BenchmarkCold(b *testing.B) {
	for _, s := range sizes {
		b.Run(s.String(), func(b *testing.B) {
			fsys := repository(s.routes/routesPerService, s.everyone)
			keys := benchKeys(b)
			forgetPeak(b)
			var held *compiler.Result
			for b.Loop() {
				held = compileSigned(b, fsys, keys, nil)
			}
			reportMemory(b)
			runtime.KeepAlive(held)
		})
	}
}

// BenchmarkChange is one changed route in a controller that has compiled before.
func BenchmarkChange(b *testing.B) {
	for _, s := range sizes {
		b.Run(s.String(), func(b *testing.B) {
			services := s.routes / routesPerService
			base := repository(services, s.everyone)
			changed := maps.Clone(base)
			changed["services/s0003.yaml"] = &fstest.MapFile{Data: []byte(service(3, services, s.everyone, 80))}
			keys := benchKeys(b)
			previous := compileSigned(b, base, keys, nil)
			forgetPeak(b)
			for n := 0; b.Loop(); n++ {
				previous = compileSigned(b, []fstest.MapFS{changed, base}[n%2], keys, previous)
			}
			reportMemory(b)
			runtime.KeepAlive(previous)
		})
	}
}

// forgetPeak starts a new measurement of the peak, which Linux keeps.
func forgetPeak(b *testing.B) {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	b.ResetTimer()
}

func reportMemory(b *testing.B) {
	b.StopTimer()
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		var kilobytes float64
		_, after, _ := strings.Cut(string(status), "VmHWM:")
		if _, err := fmt.Sscan(after, &kilobytes); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(kilobytes/1e3, "peak-MB")
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/1e6, "heap-MB")
}

func benchKeys(b *testing.B) *sign.Keys {
	keys, err := sign.Keygen(sign.KeygenOptions{MeshID: "bench", TrustDomain: "bench.example", ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Second)})
	if err != nil {
		b.Fatal(err)
	}
	return keys
}

func compileSigned(b *testing.B, fsys fstest.MapFS, keys *sign.Keys, previous *compiler.Result) *compiler.Result {
	result, diags := compiler.Compile(fsys, compiler.Options{Previous: previous})
	if result.Release == nil {
		b.Fatalf("no release: %v", diags[0].Message)
	}
	doc := sign.Describe(result.Release)
	now := time.Now().Truncate(time.Second)
	doc.MeshID, doc.Sequence = "bench", 1
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.At(now), sign.At(now), sign.At(now.Add(time.Hour))
	if _, err := sign.SignRelease(doc, keys.Release); err != nil {
		b.Fatal(err)
	}
	return result
}
