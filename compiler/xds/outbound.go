package xds

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

const (
	originalDstFilter  = "envoy.filters.listener.original_dst"
	tlsInspectorFilter = "envoy.filters.listener.tls_inspector"
	tcpProxyFilter     = "envoy.filters.network.tcp_proxy"
	// blackHoleCluster has no endpoint: what is sent to it is closed.
	blackHoleCluster = "unknown"
)

// outboundHCM routes requests by authority, by the named route configuration.
func (p *packer) outboundHCM(s *check.Settings, routes string, backends []*check.Backend) *hcmv3.HttpConnectionManager {
	out := p.connectionManager(s, OutboundListener, pathAsAsked)
	out.LocalReplyConfig = p.fallbacks(backends)
	out.HttpFilters = p.outboundFilters()
	out.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{
		Rds: &hcmv3.Rds{ConfigSource: adsSource(), RouteConfigName: routes}}
	return out
}

// proxyListener is capture none: an explicit HTTP proxy on loopback, which takes
// absolute-form requests, requests with a Host, and CONNECT to ports that are not
// HTTP.
func (p *packer) proxyListener(s *check.Settings, backends []*check.Backend) *listenerv3.Listener {
	hcm := p.outboundHCM(s, OutboundListener, backends)
	hcm.UpgradeConfigs = append(hcm.UpgradeConfigs, &hcmv3.HttpConnectionManager_UpgradeConfig{UpgradeType: connectUpgrade})
	return &listenerv3.Listener{
		Name:             OutboundListener,
		Address:          socketAddress("127.0.0.1", OutboundPort),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		FilterChains: []*listenerv3.FilterChain{{
			Name:    OutboundListener,
			Filters: []*listenerv3.Filter{p.networkFilter(hcmFilter, hcm)},
		}},
	}
}

// redirectListener is capture redirect: connections arrive by iptables, their
// original port says what they are. Addresses of services are live facts that a
// signed slice does not have, so HTTP is routed by authority, TLS by server name,
// and other TCP only where one service of the scope has the port.
func (p *packer) redirectListener(s *check.Settings, ports []scopePort, backends []*check.Backend, allowAny bool) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             OutboundListener,
		Address:          socketAddress("0.0.0.0", OutboundPort),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		ListenerFilters:  []*listenerv3.ListenerFilter{p.listenerFilter(originalDstFilter, &originaldstv3.OriginalDst{})},
	}
	var sniffed []uint32
	for _, group := range groupByNumber(ports) {
		chains := p.redirectChains(s, group, backends)
		out.FilterChains = append(out.FilterChains, chains...)
		if slices.ContainsFunc(chains, func(c *listenerv3.FilterChain) bool { return len(c.FilterChainMatch.ServerNames) > 0 }) {
			sniffed = append(sniffed, group[0].port.Number)
		}
	}
	if len(sniffed) > 0 {
		p.inspectTLS(out, sniffed...)
	}
	rest := blackHoleCluster
	if allowAny {
		rest = passthroughCluster
	}
	out.DefaultFilterChain = &listenerv3.FilterChain{
		Name:    rest,
		Filters: []*listenerv3.Filter{p.tcpProxy(rest, tcpCluster(rest))},
	}
	return out
}

func (p *packer) listenerFilter(name string, m message) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: p.any(m)}}
}

func groupByNumber(ports []scopePort) [][]scopePort {
	sorted := slices.Clone(ports)
	slices.SortStableFunc(sorted, func(a, b scopePort) int { return int(a.port.Number) - int(b.port.Number) })
	var out [][]scopePort
	for i := 0; i < len(sorted); {
		n := i + 1
		for n < len(sorted) && sorted[n].port.Number == sorted[i].port.Number {
			n++
		}
		out = append(out, sorted[i:n])
		i = n
	}
	return out
}

// redirectChains are the chains of one port number.
func (p *packer) redirectChains(s *check.Settings, group []scopePort, backends []*check.Backend) []*listenerv3.FilterChain {
	number := group[0].port.Number
	var out []*listenerv3.FilterChain
	http, tcp := false, []*check.Port(nil)
	for _, g := range group {
		switch {
		case g.port.Protocol.IsHTTP():
			http = true
		case g.port.Protocol == mesh.TLS:
			chain := p.tcpChain(g.port, routeConfigName(number)+"|"+serviceName(g.port.Service))
			chain.FilterChainMatch.ServerNames = hosts(g.port.Service, g.local)
			out = append(out, chain)
		default:
			tcp = append(tcp, g.port)
		}
	}
	switch {
	case http:
		out = append(out, &listenerv3.FilterChain{
			Name:             routeConfigName(number),
			FilterChainMatch: onPort(number),
			Filters:          []*listenerv3.Filter{p.networkFilter(hcmFilter, p.outboundHCM(s, routeConfigName(number), backends))},
		})
	case len(tcp) == 1:
		out = append(out, p.tcpChain(tcp[0], routeConfigName(number)))
	}
	return out
}

func onPort(number uint32) *listenerv3.FilterChainMatch {
	return &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(number)}
}

// routeConfigName is the route configuration of a port under capture redirect.
func routeConfigName(number uint32) string { return OutboundListener + "|" + strconv.Itoa(int(number)) }

func (p *packer) tcpChain(port *check.Port, name string) *listenerv3.FilterChain {
	proxy := &tcpproxyv3.TcpProxy{}
	switch {
	case len(port.Rules) != 1 || len(port.Rules[0].To) == 0:
		p.fail(fmt.Errorf("port %d of %s: a TCP port wants one rule with destinations", port.Number, port.Service.Key()))
	case len(port.Rules[0].To) == 1:
		proxy = tcpCluster(ClusterName(port.Rules[0].To[0].Backend))
	default:
		proxy = tcpWeighted(port.Rules[0])
	}
	if len(port.Rules) == 1 {
		proxy.HashPolicy = tcpHash(port.Rules[0])
	}
	return &listenerv3.FilterChain{
		Name: name, FilterChainMatch: onPort(port.Number),
		Filters: []*listenerv3.Filter{p.tcpProxy(name, proxy)},
	}
}

func tcpCluster(name string) *tcpproxyv3.TcpProxy {
	return &tcpproxyv3.TcpProxy{ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: name}}
}

func tcpWeighted(rule *check.Rule) *tcpproxyv3.TcpProxy {
	out := &tcpproxyv3.TcpProxy_WeightedCluster{}
	for _, d := range rule.To {
		out.Clusters = append(out.Clusters, &tcpproxyv3.TcpProxy_WeightedCluster_ClusterWeight{
			Name: ClusterName(d.Backend), Weight: min(d.Weight, math.MaxInt32)})
	}
	return &tcpproxyv3.TcpProxy{ClusterSpecifier: &tcpproxyv3.TcpProxy_WeightedClusters{WeightedClusters: out}}
}

func (p *packer) tcpProxy(statPrefix string, proxy *tcpproxyv3.TcpProxy) *listenerv3.Filter {
	proxy.StatPrefix = statPrefix
	proxy.AccessLog = append(p.accessLog(connectionLog), p.connectionMetrics())
	return p.networkFilter(tcpProxyFilter, proxy)
}
