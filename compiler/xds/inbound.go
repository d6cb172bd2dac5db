package xds

import (
	"fmt"
	"net/http"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	networkextauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// inboundListener is capture none: the port itself, on every address unless the
// agent's configuration says which.
func (p *packer) inboundListener(s *check.Settings, in inboundPort) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             inboundListenerName(in.Port),
		Address:          socketAddress("0.0.0.0", in.Port),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		FilterChains:     p.inboundChains(s, in),
	}
	if in.MTLS == mesh.MTLSPermissive {
		p.inspectTLS(out)
	}
	return out
}

// capturedListener is capture redirect: every port's chains, told apart by the
// original port. What no chain knows is closed.
func (p *packer) capturedListener(s *check.Settings, ports []inboundPort) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             "inbound",
		Address:          socketAddress("0.0.0.0", InboundPort),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		ListenerFilters:  []*listenerv3.ListenerFilter{p.listenerFilter(originalDstFilter, &originaldstv3.OriginalDst{})},
	}
	var permissive []uint32
	for _, in := range ports {
		if in.MTLS == mesh.MTLSPermissive {
			permissive = append(permissive, in.Port)
		}
		for _, chain := range p.inboundChains(s, in) {
			if chain.FilterChainMatch == nil {
				chain.FilterChainMatch = &listenerv3.FilterChainMatch{}
			}
			chain.FilterChainMatch.DestinationPort = wrapperspb.UInt32(in.Port)
			out.FilterChains = append(out.FilterChains, chain)
		}
	}
	if len(permissive) > 0 {
		p.inspectTLS(out, permissive...)
	}
	return out
}

// inboundChains: strict has only the chain with TLS, so that plaintext fails the
// handshake; permissive tells the two apart by the first bytes.
func (p *packer) inboundChains(s *check.Settings, in inboundPort) []*listenerv3.FilterChain {
	switch in.MTLS {
	case mesh.MTLSStrict:
		return []*listenerv3.FilterChain{p.inboundChain(s, in, true)}
	case mesh.MTLSPermissive:
		secure := p.inboundChain(s, in, true)
		secure.FilterChainMatch = &listenerv3.FilterChainMatch{TransportProtocol: "tls"}
		if in.Protocol == mesh.TLS {
			// The application's own TLS passes on the other chain.
			secure.FilterChainMatch.ApplicationProtocols = []string{meshALPN}
		}
		return []*listenerv3.FilterChain{secure, p.inboundChain(s, in, false)}
	case mesh.MTLSDisable:
		return []*listenerv3.FilterChain{p.inboundChain(s, in, false)}
	}
	p.fail(unknown("mTLS mode", in.MTLS))
	return nil
}

func (p *packer) inboundChain(s *check.Settings, in inboundPort, secure bool) *listenerv3.FilterChain {
	name := inboundListenerName(in.Port)
	p.serves = p.destination(in)
	out := &listenerv3.FilterChain{Name: name + "|plain"}
	if secure {
		out.Name = name + "|mtls"
		out.TransportSocket = p.serverTLS(s, in.Protocol)
	}
	for _, r := range in.access.Network {
		out.Filters = append(out.Filters, p.networkFilter("envoy.filters.network.rbac", r))
	}
	if in.Protocol.IsHTTP() {
		hcm := p.inboundHCM(s, in, secure)
		out.Filters = append(out.Filters, p.networkFilter(hcmFilter, hcm))
		return out
	}
	if len(in.access.HTTP) > 0 {
		p.fail(fmt.Errorf("port %d is not HTTP, and has access rules about requests", in.Port))
	}
	if in.access.ExtAuthz {
		out.Filters = append(out.Filters, p.networkExtAuthz())
	}
	out.Filters = append(out.Filters, p.tcpProxy(name, tcpCluster(InboundClusterName(in.Port))))
	return out
}

func (p *packer) networkExtAuthz() *listenerv3.Filter {
	return p.networkFilter("envoy.filters.network.ext_authz", &networkextauthzv3.ExtAuthz{
		StatPrefix: "ext_authz", GrpcService: agentService(), TransportApiVersion: corev3.ApiVersion_V3,
		IncludeTlsSession: true, // connection.sni
	})
}

// connectionAge bounds how long a peer is known by a certificate that may have
// expired since, or by roots that were taken away: Envoy verifies at the handshake
// and never again (envoy issue 17999). A connection that ends so drains; its
// streams go on to their end. TCP has no such words, and is cut by nothing.
const connectionAge = 24 * time.Hour

// inboundHCM forwards everything to the application. The application learns
// who calls from x-forwarded-client-cert, which nobody else can set.
func (p *packer) inboundHCM(s *check.Settings, in inboundPort, secure bool) *hcmv3.HttpConnectionManager {
	out := p.connectionManager(s, inboundListenerName(in.Port), pathAsJudged)
	out.HttpFilters = p.inboundFilters(in.access, p.rateLimitFilters(s, in))
	// A WebSocket comes by extended CONNECT (RFC 8441) where the caller's proxy
	// speaks HTTP/2; rules see the GET that it stands for.
	out.Http2ProtocolOptions.AllowConnect = true
	if secure {
		out.CommonHttpProtocolOptions.MaxConnectionDuration = durationpb.New(connectionAge)
		out.Http1SafeMaxConnectionDuration = true
	}
	out.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE
	if secure {
		out.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
		out.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{Uri: true}
	}
	out.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: p.inboundRoutes(s, in)}
	return out
}

// inboundRoutes: timeouts and retries are the caller's, whose route knows what
// may be repeated. Where it lets a stream be idle for longer than the connection
// manager does, so does this one.
func (p *packer) inboundRoutes(s *check.Settings, in inboundPort) *routev3.RouteConfiguration {
	name := InboundClusterName(in.Port)
	action := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: name},
		Timeout:          durationpb.New(0),
	}
	if in.idle != streamIdle(s) {
		action.IdleTimeout = durationpb.New(in.idle)
	}
	if in.Protocol != mesh.GRPC {
		action.RetryPolicy = inboundRetry()
	}
	return &routev3.RouteConfiguration{
		Name:             name,
		ValidateClusters: wrapperspb.Bool(false),
		VirtualHosts: []*routev3.VirtualHost{{
			Name: name, Domains: []string{"*"},
			Routes: p.inboundTable(name, in, action),
		}},
	}
}

// inboundTable is the routes of one port, with the limits of each.
func (p *packer) inboundTable(name string, in inboundPort, action *routev3.RouteAction) []*routev3.Route {
	only := in.Access.Answered()
	if only == nil {
		return p.limitedRoutes(name, action, in.limits)
	}
	action.RateLimits = rateLimits(in.limits, "") // package check refuses limits of a rule here
	return p.answered(name, in, only, &routev3.Route_Route{Route: action})
}

// answered sends to the application what the port answers at all. Everything else is
// 404 whoever asks, so that no access filter is asked: the route leads nowhere.
func (p *packer) answered(name string, in inboundPort, only []mesh.Operation, action *routev3.Route_Route) []*routev3.Route {
	anything := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
	var out []*routev3.Route
	for i := range only {
		m := requestsOf(&only[i])
		for _, match := range p.routeMatches(&m) {
			out = append(out, &routev3.Route{Name: name, Match: match, Action: action})
		}
	}
	return append(out, &routev3.Route{
		Name: name + "|unrouted", Match: anything, TypedPerFilterConfig: p.unasked(in.access),
		Action: &routev3.Route_DirectResponse{DirectResponse: directResponse(http.StatusNotFound, "")},
	})
}

// unasked switches the filters off that decide access.
func (p *packer) unasked(access PortAccess) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if len(access.HTTP) > 0 {
		out[rbacFilter] = p.any(&rbacv3.RBACPerRoute{})
	}
	if access.ExtAuthz {
		out[extAuthzFilter] = p.any(&extauthzv3.ExtAuthzPerRoute{Override: &extauthzv3.ExtAuthzPerRoute_Disabled{Disabled: true}})
	}
	return out
}

// requestsOf is an operation of a Server's route, which has at most one path and host,
// as routes say it: the access rule about it knows the host with and without a port.
func requestsOf(o *mesh.Operation) mesh.Match {
	m := mesh.Match{Methods: o.Methods, Headers: o.Headers}
	if len(o.Paths) > 0 {
		m.Path = &o.Paths[0]
	}
	if len(o.Hosts) > 0 {
		m.Authority = &mesh.StringMatch{Kind: mesh.Regex, Value: "(?i:" + envoymatch.Pattern(o.Hosts[0]) + ")(?::[0-9]*)?"}
	}
	return m
}
