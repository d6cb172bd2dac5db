package check_test

import (
	"fmt"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// repository makes n services with a workload, an access policy and a route of
// ten rules each. A workload uses five services, or all where everyone is set.
func repository(n int, everyone bool) []*mesh.Fragment {
	var out []*mesh.Fragment
	for i := range n {
		name := fmt.Sprintf("service-%04d", i)
		w := &mesh.Workload{
			Origin:  origin("MeshWorkload", name),
			Service: &mesh.Ref{Namespace: "shop", Name: name}, ServiceAccount: name, Version: "v1",
			Ports:   []mesh.WorkloadPort{{Number: 8080, Protocol: mesh.HTTP}},
			HasUses: !everyone,
		}
		for j := range 5 {
			w.Uses = append(w.Uses, mesh.Ref{Namespace: "shop", Name: fmt.Sprintf("service-%04d", (i+j)%n)})
		}
		access := &mesh.AccessPolicy{
			Origin: origin("AccessPolicy", name),
			Target: mesh.Target{Service: &mesh.Ref{Namespace: "shop", Name: name}},
			Rules: []*mesh.AccessRule{{
				ID: "AccessPolicy/shop/" + name + "/all", Action: mesh.Allow, ServicePorts: true,
				To: []mesh.Operation{{Ports: []uint32{8080}}},
			}},
		}
		out = append(out, &mesh.Fragment{Workloads: []*mesh.Workload{w}},
			&mesh.Fragment{AccessPolicies: []*mesh.AccessPolicy{access}}, route(name, 0))
	}
	return out
}

func origin(kind, name string) mesh.Origin {
	return mesh.Origin{Dialect: mesh.Native, Kind: kind, Namespace: "shop", Name: name}
}

func route(name string, edition int) *mesh.Fragment {
	r := &mesh.Route{
		Origin:  origin("MeshRoute", name),
		Targets: []mesh.RouteTarget{{Ref: mesh.Ref{Namespace: "shop", Name: name}}}, ServiceWhenUnmatched: true,
	}
	for i := range 10 {
		r.Rules = append(r.Rules, &mesh.Rule{
			ID: fmt.Sprintf("%s/%d", r.ID(), i), Name: fmt.Sprint(i),
			Matches: []mesh.Match{{Path: &mesh.StringMatch{Kind: mesh.SegmentPrefix, Value: fmt.Sprintf("/%d/%d", edition, i)}}},
			To:      []mesh.Destination{{Version: "v1"}},
		})
	}
	return &mesh.Fragment{Routes: []*mesh.Route{r}}
}

func BenchmarkRun(b *testing.B) {
	for _, everyone := range []bool{false, true} {
		all := repository(1000, everyone)
		first, diags := check.Run(all, check.Options{})
		if len(diags) > 0 {
			b.Fatal(text(diags))
		}
		if _, err := first.Dump(); err != nil {
			b.Fatal(err)
		}
		suffix := map[bool]string{false: "uses=5", true: "uses=all"}[everyone]
		b.Run("cold/"+suffix, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				check.Run(all, check.Options{})
			}
		})
		b.Run("change/"+suffix, func(b *testing.B) { benchmarkChange(b, all, first) })
	}
}

// benchmarkChange checks again after a change of one route.
func benchmarkChange(b *testing.B, all []*mesh.Fragment, first *check.Mesh) {
	b.ReportAllocs()
	edition := 0
	for b.Loop() {
		edition++
		all[2] = route("service-0000", edition)
		m, _ := check.Run(all, check.Options{Previous: first})
		if m.Service("shop/service-0001") != first.Service("shop/service-0001") {
			b.Fatal("a service that did not change was made again")
		}
	}
}

func BenchmarkDump(b *testing.B) {
	all := repository(1000, false)
	first, _ := check.Run(all, check.Options{})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			m, _ := check.Run(all, check.Options{})
			dumped(b, m)
		}
	})
	dumped(b, first)
	b.Run("change", func(b *testing.B) {
		for b.Loop() {
			all[2] = route("service-0000", 1)
			m, _ := check.Run(all, check.Options{Previous: first})
			dumped(b, m)
		}
	})
}

func dumped(b *testing.B, m *check.Mesh) {
	if _, err := m.Dump(); err != nil {
		b.Fatal(err)
	}
}
