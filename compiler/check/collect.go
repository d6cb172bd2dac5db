package check

import (
	"cmp"
	"slices"

	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// inputs are all fragments, each list ordered by the documents' names, so that
// nothing depends on the order of files.
type inputs struct {
	mesh.Fragment
	// foreign are gateways of the Gateway API whose controller is another, by key.
	foreign map[string]bool
	// parents are the gateways of ListenerSets that are attached, by the set's key; ""
	// where the gateway is none of ours.
	parents map[string]string
	istio   *mesh.Origin // the first Istio document, where there is one
}

func collect(fragments []*mesh.Fragment) *inputs {
	in := &inputs{}
	for _, f := range fragments {
		in.Meshes = append(in.Meshes, f.Meshes...)
		in.Namespaces = append(in.Namespaces, f.Namespaces...)
		in.Services = append(in.Services, f.Services...)
		in.Workloads = append(in.Workloads, f.Workloads...)
		in.Gateways = append(in.Gateways, f.Gateways...)
		in.ListenerSets = append(in.ListenerSets, f.ListenerSets...)
		in.GatewayClasses = append(in.GatewayClasses, f.GatewayClasses...)
		in.Routes = append(in.Routes, f.Routes...)
		in.TrafficPolicies = append(in.TrafficPolicies, f.TrafficPolicies...)
		in.BackendTLS = append(in.BackendTLS, f.BackendTLS...)
		in.ConfigMaps = append(in.ConfigMaps, f.ConfigMaps...)
		in.AccessPolicies = append(in.AccessPolicies, f.AccessPolicies...)
		in.PeerPolicies = append(in.PeerPolicies, f.PeerPolicies...)
		in.Telemetries = append(in.Telemetries, f.Telemetries...)
		in.RateLimits = append(in.RateLimits, f.RateLimits...)
		in.Externals = append(in.Externals, f.Externals...)
		in.Assumptions = append(in.Assumptions, f.Assumptions...)
		in.Waivers = append(in.Waivers, f.Waivers...)
		in.Tests = append(in.Tests, f.Tests...)
		in.Invariants = append(in.Invariants, f.Invariants...)
		in.Grants = append(in.Grants, f.Grants...)
		in.Expiries = append(in.Expiries, f.Expiries...)
		in.Servers = append(in.Servers, f.Servers...)
		in.Authentications = append(in.Authentications, f.Authentications...)
		in.Authorizations = append(in.Authorizations, f.Authorizations...)
		in.ServerRoutes = append(in.ServerRoutes, f.ServerRoutes...)
	}
	in.sort()
	in.findIstio()
	return in
}

func (in *inputs) sort() {
	byOrigin(in.Meshes, func(d *mesh.Settings) *mesh.Origin { return &d.Origin })
	byOrigin(in.Namespaces, func(d *mesh.Namespace) *mesh.Origin { return &d.Origin })
	byOrigin(in.Services, func(d *mesh.Service) *mesh.Origin { return &d.Origin })
	byOrigin(in.Workloads, func(d *mesh.Workload) *mesh.Origin { return &d.Origin })
	byOrigin(in.Gateways, func(d *mesh.Gateway) *mesh.Origin { return &d.Origin })
	byOrigin(in.ListenerSets, func(d *mesh.ListenerSet) *mesh.Origin { return &d.Origin })
	byOrigin(in.GatewayClasses, func(d *mesh.GatewayClass) *mesh.Origin { return &d.Origin })
	byOrigin(in.Routes, func(d *mesh.Route) *mesh.Origin { return &d.Origin })
	byOrigin(in.TrafficPolicies, func(d *mesh.TrafficPolicy) *mesh.Origin { return &d.Origin })
	byOrigin(in.BackendTLS, func(d *mesh.BackendTLS) *mesh.Origin { return &d.Origin })
	byOrigin(in.ConfigMaps, func(d *mesh.ConfigMap) *mesh.Origin { return &d.Origin })
	byOrigin(in.AccessPolicies, func(d *mesh.AccessPolicy) *mesh.Origin { return &d.Origin })
	byOrigin(in.PeerPolicies, func(d *mesh.PeerPolicy) *mesh.Origin { return &d.Origin })
	byOrigin(in.Telemetries, func(d *mesh.Telemetry) *mesh.Origin { return &d.Origin })
	byOrigin(in.RateLimits, func(d *mesh.RateLimitPolicy) *mesh.Origin { return &d.Origin })
	byOrigin(in.Externals, func(d *mesh.External) *mesh.Origin { return &d.Origin })
	byOrigin(in.Assumptions, func(d *mesh.Assumption) *mesh.Origin { return &d.Origin })
	byOrigin(in.Waivers, func(d *mesh.Waiver) *mesh.Origin { return &d.Origin })
	byOrigin(in.Tests, func(d *mesh.Test) *mesh.Origin { return &d.Origin })
	byOrigin(in.Invariants, func(d *mesh.Invariant) *mesh.Origin { return &d.Origin })
	byOrigin(in.Grants, func(d *mesh.Grant) *mesh.Origin { return &d.Origin })
	byOrigin(in.Servers, func(d *mesh.Server) *mesh.Origin { return &d.Origin })
	byOrigin(in.Authentications, func(d *mesh.Authentication) *mesh.Origin { return &d.Origin })
	byOrigin(in.Authorizations, func(d *mesh.Authorization) *mesh.Origin { return &d.Origin })
	byOrigin(in.ServerRoutes, func(d *mesh.ServerRoute) *mesh.Origin { return &d.Origin })
}

func byOrigin[D any](docs []D, origin func(D) *mesh.Origin) {
	slices.SortStableFunc(docs, func(a, b D) int { return compareOrigins(origin(a), origin(b)) })
}

func compareOrigins(a, b *mesh.Origin) int {
	return cmp.Or(
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Kind, b.Kind),
		source.Compare(a.Span, b.Span),
	)
}

// findIstio remembers an Istio document for the choice of defaults.
func (in *inputs) findIstio() {
	see := func(o *mesh.Origin) {
		if o.Dialect == mesh.Istio && (in.istio == nil || compareOrigins(o, in.istio) < 0) {
			in.istio = o
		}
	}
	for _, d := range in.Routes {
		see(&d.Origin)
	}
	for _, d := range in.TrafficPolicies {
		see(&d.Origin)
	}
	for _, d := range in.AccessPolicies {
		see(&d.Origin)
	}
	for _, d := range in.PeerPolicies {
		see(&d.Origin)
	}
	for _, d := range in.Telemetries {
		see(&d.Origin)
	}
	for _, d := range in.Externals {
		see(&d.Origin)
	}
	for _, d := range in.Gateways {
		see(&d.Origin)
	}
}
