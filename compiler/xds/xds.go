package xds

import (
	"cmp"
	"slices"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"

	"github.com/mesh-compile/mesh-compile/compiler/check"
)

// Type URLs of the resources made here.
const (
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
)

// Names that a slice takes from the agent: the static cluster of its bootstrap
// that leads to the agent's socket, and the secrets that it answers.
const (
	AgentCluster      = "agent"
	CertificateSecret = "default"
	RootsSecret       = "ROOTCA"
)

// Ports of capture redirect, and of the explicit proxy of capture none.
const (
	OutboundPort = 15001
	InboundPort  = 15006
)

// Resource is one xDS resource. Bytes are what stands in google.protobuf.Any.value.
type Resource struct {
	Type, Name string
	Bytes      []byte
}

// List is an immutable set of resources, sorted by name. Workloads that see the
// same share the same *List, also from one generator to the next while nothing
// in it changed: what is computed of a list may be kept by its pointer.
type List struct{ Resources []Resource }

// Slice is what one workload's proxies get. No resource is in two lists.
type Slice struct {
	Listeners *List // of the workload
	Routes    *List // of every workload with the same scope
	Clusters  *List // outbound, of every workload with the same scope
	Inbound   *List // clusters of the workload's own ports
	Gateway   *List // of the gateways that it serves: routes, and clusters besides; nil for none
}

// Lists returns the lists that are not empty.
func (s Slice) Lists() []*List {
	return slices.DeleteFunc([]*List{s.Listeners, s.Routes, s.Clusters, s.Inbound, s.Gateway},
		func(l *List) bool { return l == nil || len(l.Resources) == 0 })
}

// Resources returns everything by type and name.
func (s Slice) Resources() []Resource {
	var all []Resource
	for _, l := range s.Lists() {
		all = append(all, l.Resources...)
	}
	slices.SortFunc(all, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// PortAccess is how access is enforced at one inbound port: filters in their
// order. HTTP filters apply to HTTP ports, Network ones to every connection.
type PortAccess struct {
	HTTP    []*rbacv3.RBAC
	Network []*networkrbacv3.RBAC
	// ExtAuthz asks the agent about every request or connection, failing closed.
	ExtAuthz bool
}

// equal compares by identity: equal policies of an unchanged port are the same values.
func (a PortAccess) equal(b PortAccess) bool {
	return a.ExtAuthz == b.ExtAuthz && slices.Equal(a.HTTP, b.HTTP) && slices.Equal(a.Network, b.Network)
}

// Access returns the access policy of a workload's port. It must return the very
// same messages for the same check.Inbound, or an unchanged listener is built again.
type Access func(w *check.Workload, in *check.Inbound) PortAccess
