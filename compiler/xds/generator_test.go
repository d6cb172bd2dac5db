package xds_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// size of a synthetic mesh: one workload and one route a service.
type size struct {
	services, uses, rules int
	everyone              bool // sees everyone
}

// fragments are the mesh's documents; changed is a service whose route differs.
func (z size) fragments(changed int) []*mesh.Fragment {
	out := []*mesh.Fragment{{Meshes: []*mesh.Settings{{TrustDomain: "shop.example", Defaults: mesh.Native}}}}
	for i := range z.services {
		out = append(out, &mesh.Fragment{
			Workloads: []*mesh.Workload{z.workload(i)},
			Routes:    []*mesh.Route{z.route(i, i == changed)},
		})
	}
	return out
}

func origin(kind string, i int) mesh.Origin {
	return mesh.Origin{Dialect: mesh.Native, Kind: kind, Namespace: "shop", Name: fmt.Sprintf("s%04d", i)}
}

func (z size) workload(i int) *mesh.Workload {
	o := origin("MeshWorkload", i)
	w := &mesh.Workload{
		Origin: o, Service: &mesh.Ref{Name: o.Name, Namespace: "shop"}, ServiceAccount: o.Name,
		Capture: mesh.CaptureNone, HasUses: !z.everyone,
		Ports: []mesh.WorkloadPort{{Number: 8080, Protocol: mesh.HTTP}},
	}
	if !z.everyone {
		for n := range z.uses {
			w.Uses = append(w.Uses, mesh.Ref{Name: origin("", (i+1+n*n)%z.services).Name, Namespace: "shop"})
		}
	}
	return w
}

func (z size) route(i int, changed bool) *mesh.Route {
	o := origin("MeshRoute", i)
	r := &mesh.Route{Origin: o, ServiceWhenUnmatched: true,
		Targets: []mesh.RouteTarget{{Ref: mesh.Ref{Name: o.Name, Namespace: "shop"}}}}
	for n := range z.rules {
		path := fmt.Sprintf("/path-%d", n)
		if changed {
			path += "-changed"
		}
		name := fmt.Sprintf("rule-%d", n)
		r.Rules = append(r.Rules, &mesh.Rule{
			ID: o.ID() + "/" + name, Name: name,
			Matches: []mesh.Match{{
				Path:    &mesh.StringMatch{Kind: mesh.SegmentPrefix, Value: path},
				Methods: []mesh.StringMatch{{Value: "GET"}},
			}},
		})
	}
	return r
}

// mutated is m with one route changed, and everything else the same values.
func mutated(z size, fragments []*mesh.Fragment, service int) []*mesh.Fragment {
	out := append([]*mesh.Fragment(nil), fragments...)
	old := out[1+service]
	out[1+service] = &mesh.Fragment{Workloads: old.Workloads, Routes: []*mesh.Route{z.route(service, true)}}
	return out
}

func run(t testing.TB, fragments []*mesh.Fragment, previous *check.Mesh) *check.Mesh {
	t.Helper()
	m, list := check.Run(fragments, check.Options{Previous: previous})
	refuseErrors(t, list)
	return m
}

// buildConcurrently builds every slice from several goroutines at once.
func buildConcurrently(t testing.TB, g *xds.Generator, m *check.Mesh) []xds.Slice {
	t.Helper()
	out := make([]xds.Slice, len(m.Workloads()))
	var group sync.WaitGroup
	for worker := range 2 {
		group.Go(func() {
			for i := worker; i < len(out); i += 2 {
				slice, err := g.Build(m.Workloads()[i], open)
				if err != nil {
					t.Error(err)
				}
				out[i] = slice
			}
		})
	}
	group.Wait()
	return out
}

func bytesOf(slices []xds.Slice) [][]xds.Resource {
	var out [][]xds.Resource
	for _, s := range slices {
		out = append(out, s.Resources())
	}
	return out
}

func TestSameInputSameBytes(t *testing.T) {
	t.Parallel()
	for _, z := range []size{{services: 12, uses: 3, rules: 2}, {services: 12, rules: 2, everyone: true}} {
		before := z.fragments(-1)
		m := run(t, before, nil)
		g := xds.NewGenerator(m, nil)
		first := buildConcurrently(t, g, m)

		shuffled := append([]*mesh.Fragment(nil), before...)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		other := run(t, shuffled, nil)
		if diff := cmp.Diff(bytesOf(first), bytesOf(buildConcurrently(t, xds.NewGenerator(other, nil), other))); diff != "" {
			t.Errorf("%+v in another order gives other bytes:\n%s", z, diff)
		}

		after := mutated(z, before, 5)
		next := run(t, after, m)
		reused := buildConcurrently(t, xds.NewGenerator(next, g), next)
		afresh := run(t, after, nil)
		if diff := cmp.Diff(bytesOf(buildConcurrently(t, xds.NewGenerator(afresh, nil), afresh)), bytesOf(reused)); diff != "" {
			t.Errorf("%+v with the previous generator gives other bytes:\n%s", z, diff)
		}
	}
}

// A changed route costs the route configurations of those who see it, and changes
// no listener.
func TestChangeTouchesWhatSeesIt(t *testing.T) {
	t.Parallel()
	z := size{services: 12, uses: 3, rules: 2}
	before := z.fragments(-1)
	m := run(t, before, nil)
	g := xds.NewGenerator(m, nil)
	old := buildConcurrently(t, g, m)
	next := run(t, mutated(z, before, 5), m)
	now := buildConcurrently(t, xds.NewGenerator(next, g), next)

	changed := 0
	for i, w := range next.Workloads() {
		sees := strings.Contains(fmt.Sprint(keys(w.Uses)), "shop/s0005")
		if (old[i].Routes != now[i].Routes) != sees {
			t.Errorf("%s: sees the change: %t, its routes are the same list: %t", w.Key(), sees, old[i].Routes == now[i].Routes)
		}
		// The callee's own ports lead to the changed service: same bytes, made again.
		if w.Key() != "shop/s0005" && (old[i].Listeners != now[i].Listeners || old[i].Inbound != now[i].Inbound) {
			t.Errorf("%s: its listeners were made again", w.Key())
		}
		if diff := cmp.Diff(old[i].Listeners, now[i].Listeners); diff != "" {
			t.Errorf("%s: its listeners differ:\n%s", w.Key(), diff)
		}
		if sees {
			changed++
		}
	}
	if changed == 0 {
		t.Error("nobody sees the changed route")
	}
}

func keys(services []*check.Service) []string {
	var out []string
	for _, s := range services {
		out = append(out, s.Key())
	}
	return out
}

// The validation that other tests rely on must be able to fail.
func TestEnvoyLooksAtTheSlice(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	text := string(static(t, build(t, shopMesh(t), "shop/order", open), xds.StaticOptions{}))
	twice := strings.ReplaceAll(text, `"order.shop:8080",`, `"catalog.shop:8080",`)
	if twice == text {
		t.Fatal("the bootstrap has no domain order.shop:8080")
	}
	err := envoytest.Validate(t.Context(), []byte(twice))
	if err == nil || !strings.Contains(err.Error(), "Duplicate entry of domain") {
		t.Errorf("a duplicate domain: got %v, want Envoy's refusal", err)
	}
}

func BenchmarkBuild(b *testing.B) {
	for name, z := range map[string]size{
		"five":     {services: 1000, uses: 5, rules: 10},
		"everyone": {services: 1000, rules: 10, everyone: true},
	} {
		fragments := z.fragments(-1)
		m := run(b, fragments, nil)
		b.Run(name+"/cold", func(b *testing.B) {
			for b.Loop() {
				buildConcurrently(b, xds.NewGenerator(m, nil), m)
			}
		})
		b.Run(name+"/change", func(b *testing.B) {
			g := xds.NewGenerator(m, nil)
			buildConcurrently(b, g, m)
			next := run(b, mutated(z, fragments, 5), m)
			for b.Loop() {
				buildConcurrently(b, xds.NewGenerator(next, g), next)
			}
		})
	}
}
