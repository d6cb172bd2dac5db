// Package outboundtest runs the outbound side of one workload's slice on a real
// Envoy, to compare what it does with what is said about it.
//
// In: a checked mesh, a workload, and endpoints by cluster. Out: the address of
// its listener. Upstreams are plain: the callee's proxies are not part of it.
package outboundtest

import (
	"fmt"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// RouteHeader is set on every answer to the id of the rule that took the request.
const RouteHeader = "x-taken-by"

// Run starts Envoy with a workload's outbound listener and returns the listener's
// address: a free one for an explicit proxy (capture none). What is captured comes
// to the address that the slice says.
func Run(t testing.TB, m *check.Mesh, workload string, endpoints map[string][]string) string {
	t.Helper()
	address := fmt.Sprintf("0.0.0.0:%d", xds.OutboundPort)
	if w := m.Workload(workload); w != nil && w.Capture != mesh.CaptureRedirect {
		ip := envoytest.Loopback()
		port, err := envoytest.FreePort(ip)
		if err != nil {
			t.Fatal(err)
		}
		address = fmt.Sprintf("%s:%d", ip, port)
	}
	b, err := bootstrap(m, workload, address, endpoints)
	if err != nil {
		t.Fatal(err)
	}
	text, err := xds.JSON(b)
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Run(t, envoytest.Options{Bootstrap: text})
	return address
}

func bootstrap(m *check.Mesh, workload, address string, endpoints map[string][]string) (*bootstrapv3.Bootstrap, error) {
	w := m.Workload(workload)
	if w == nil {
		return nil, fmt.Errorf("no workload %s", workload)
	}
	open := func(*check.Workload, *check.Inbound) xds.PortAccess { return xds.PortAccess{} }
	slice, err := xds.NewGenerator(m, nil).Build(w, open)
	if err != nil {
		return nil, err
	}
	outbound := &xds.List{}
	for _, l := range slice.Listeners.Resources {
		if l.Name == "outbound" {
			outbound.Resources = append(outbound.Resources, l)
		}
	}
	b, err := xds.StaticBootstrap(xds.Slice{Listeners: outbound, Routes: slice.Routes, Clusters: slice.Clusters},
		xds.StaticOptions{Node: workload, Bind: map[string]string{"outbound": address}, Endpoints: endpoints})
	if err != nil {
		return nil, err
	}
	for _, c := range b.StaticResources.Clusters {
		c.TransportSocket = nil // upstreams are plain
	}
	return b, nameRoutes(b)
}

// nameRoutes makes every answer name its route.
func nameRoutes(b *bootstrapv3.Bootstrap) error {
	for _, l := range b.StaticResources.Listeners {
		for _, chain := range l.FilterChains {
			for _, f := range chain.Filters {
				hcm := &hcmv3.HttpConnectionManager{}
				if !f.GetTypedConfig().MessageIs(hcm) {
					continue
				}
				if err := f.GetTypedConfig().UnmarshalTo(hcm); err != nil {
					return err
				}
				hcm.GetRouteConfig().ResponseHeadersToAdd = []*corev3.HeaderValueOption{{
					Header: &corev3.HeaderValue{Key: RouteHeader, Value: "%ROUTE_NAME%"},
				}}
				changed, err := anypb.New(hcm)
				if err != nil {
					return err
				}
				f.GetTypedConfig().Value = changed.Value
			}
		}
	}
	return nil
}
