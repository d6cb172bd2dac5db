package xds

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// GatewayListener is the name of a gateway's listener at a port.
func GatewayListener(port uint32) string { return "gateway|" + strconv.Itoa(int(port)) }

// gatewaySet is what a workload that serves gateways has besides its scope, and
// what it was made from.
type gatewaySet struct {
	ports     []*check.GatewayPort
	scope     *List // clusters that it has anyway
	listeners []Resource
	list      *List            // routes, and clusters that are not in scope
	backends  []*check.Backend // all, with those of the scope
}

// gateway returns nil for a workload that serves none.
func (g *Generator) gateway(w *check.Workload, scope *scope) (*gatewaySet, error) {
	if len(w.Gateway) == 0 {
		return nil, nil
	}
	g.mu.Lock()
	old := g.gateways[w.Key()]
	g.mu.Unlock()
	if old != nil && old.scope == scope.clusters && slices.Equal(old.ports, w.Gateway) {
		return old, nil
	}
	set := &gatewaySet{ports: w.Gateway, scope: scope.clusters, backends: slices.Clone(scope.backends)}
	if err := g.makeGateway(w, set); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gateways[w.Key()] = set
	return set, nil
}

func (g *Generator) makeGateway(w *check.Workload, set *gatewaySet) error {
	var own []scopePort
	for _, port := range w.Gateway {
		for _, l := range port.Listeners {
			for _, r := range l.Routes {
				own = append(own, scopePort{port: r.Table()})
			}
		}
	}
	var resources []Resource
	led := reachable(w, own)
	for _, b := range led {
		if slices.Contains(set.backends, b) {
			continue
		}
		r, err := g.cluster(b)
		if err != nil {
			return err
		}
		resources = append(resources, r)
		set.backends = append(set.backends, b)
	}
	slices.SortFunc(set.backends, func(a, b *check.Backend) int { return strings.Compare(ClusterName(a), ClusterName(b)) })
	for _, port := range w.Gateway {
		routes, err := g.gatewayRoutes(w, port)
		if err != nil {
			return err
		}
		resources = append(resources, routes...)
		p := reporter(w, mesh.ClientSide)
		l := p.gatewayListener(g.settings, port, led)
		if len(l.FilterChains) == 0 {
			continue // no route leads anywhere: the port is not opened
		}
		r, err := newResource(ListenerType, l.Name, l)
		if err != nil {
			return err
		}
		if p.err != nil {
			return p.err
		}
		set.listeners = append(set.listeners, r)
	}
	set.list = newList(resources)
	return nil
}

// gatewayListener opens a port. With TLS each listener of the gateway is a chain,
// which the client's server name chooses; without, all share one.
func (p *packer) gatewayListener(s *check.Settings, port *check.GatewayPort, backends []*check.Backend) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             GatewayListener(port.Port),
		Address:          socketAddress("0.0.0.0", port.Port),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
	}
	switch {
	case port.TLS:
		for _, l := range port.Listeners {
			out.FilterChains = append(out.FilterChains, p.tlsChains(s, port, l, backends)...)
		}
		p.inspectTLS(out)
		out.ContinueOnListenerFiltersTimeout = false // who says nothing has no server name
	case port.Listeners[0].Protocol == mesh.ListenTCP:
		for _, r := range port.Listeners[0].Routes {
			out.FilterChains = append(out.FilterChains, p.connectionChain(out.Name, r))
		}
	default:
		out.FilterChains = []*listenerv3.FilterChain{{
			Name:    out.Name,
			Filters: []*listenerv3.Filter{p.networkFilter(hcmFilter, p.gatewayHCM(s, out.Name, nil, backends))},
		}}
	}
	return out
}

// tlsChains are the chains of one listener. One that passes TLS on, or opens it for
// bytes, has a chain for each route; other server names find none and are closed.
func (p *packer) tlsChains(s *check.Settings, port *check.GatewayPort, l *check.GatewayListener, backends []*check.Backend) (out []*listenerv3.FilterChain) {
	if l.Protocol == mesh.ListenHTTPS {
		name := gatewayRoutesName(port, l)
		return []*listenerv3.FilterChain{{
			Name:             name,
			FilterChainMatch: serverNames(l.Hosts),
			Filters:          []*listenerv3.Filter{p.networkFilter(hcmFilter, p.gatewayHCM(s, name, l.TLS, backends))},
			TransportSocket:  p.gatewayTLS(l),
		}}
	}
	for _, r := range l.Routes {
		chain := p.connectionChain(GatewayListener(port.Port)+"|"+l.ID()+"|"+r.Hosts[0], r)
		chain.FilterChainMatch = serverNames(r.Hosts)
		if l.TLS.Mode != mesh.TLSPassThrough {
			chain.TransportSocket = p.gatewayTLS(l)
		}
		out = append(out, chain)
	}
	return out
}

func (p *packer) connectionChain(name string, r *check.GatewayRoute) *listenerv3.FilterChain {
	chain := p.tcpChain(r.Table(), name)
	chain.FilterChainMatch = nil // the listener has one port
	return chain
}

// serverNames selects TLS by the name that the client asks for. Every name is none.
func serverNames(hosts []string) *listenerv3.FilterChainMatch {
	m := &listenerv3.FilterChainMatch{TransportProtocol: "tls"}
	if !slices.Contains(hosts, "*") {
		m.ServerNames = hosts
	}
	return m
}

// gatewayHCM takes requests from outside: the address of the connection is the
// client's, and what a client says of itself by x-forwarded-for and
// x-forwarded-client-cert is not passed on as if a proxy had said it.
func (p *packer) gatewayHCM(s *check.Settings, routes string, tls *mesh.ServerTLS, backends []*check.Backend) *hcmv3.HttpConnectionManager {
	out := p.connectionManager(s, routes, pathAsAsked)
	out.AccessLog = p.requestReports(pathAsAsked, serverNameLog)
	out.UseRemoteAddress = wrapperspb.Bool(true)
	out.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE
	if tls != nil && tls.Mode != mesh.TLSTerminate {
		out.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
		out.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: wrapperspb.Bool(true), Uri: true, Dns: true}
	}
	out.LocalReplyConfig = p.fallbacks(backends)
	out.HttpFilters = p.outboundFilters()
	out.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{
		Rds: &hcmv3.Rds{ConfigSource: adsSource(), RouteConfigName: routes}}
	return out
}

var serverNameLog = map[string]string{"sni": "%REQUESTED_SERVER_NAME%"}

func gatewayRoutesName(port *check.GatewayPort, l *check.GatewayListener) string {
	if l.Protocol == mesh.ListenHTTP {
		return GatewayListener(port.Port)
	}
	return GatewayListener(port.Port) + "|" + l.ID()
}

// gatewayRoutes are the route configurations of a port: one for all that is clear,
// one for each listener with TLS.
func (g *Generator) gatewayRoutes(w *check.Workload, port *check.GatewayPort) (out []Resource, err error) {
	configs := map[string]*routeConfig{}
	var names []string
	for _, l := range port.Listeners {
		if !l.Protocol.SeesRequests() {
			continue
		}
		name := gatewayRoutesName(port, l)
		if configs[name] == nil {
			configs[name] = &routeConfig{name: name, owner: map[string]string{}}
			names = append(names, name)
		}
		if err := g.listenerRoutes(configs[name], w, port, l); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		r, err := configs[name].closed()
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// listenerRoutes adds the virtual hosts of a listener: those of its routes, one for
// its hosts that have none, so that no wider route takes them, and with TLS one for
// the hosts of other listeners, whose clients meant another certificate (RFC 9110,
// 15.5.20: Misdirected Request).
func (g *Generator) listenerRoutes(config *routeConfig, w *check.Workload, port *check.GatewayPort, l *check.GatewayListener) error {
	taken := map[string]bool{}
	for _, r := range l.Routes {
		routes, err := g.portRoutes(r.Table(), w)
		if err != nil {
			return err
		}
		for _, h := range r.Hosts {
			taken[h] = true
		}
		if err := config.add(l.ID()+":"+r.Hosts[0], r.Hosts, routes); err != nil {
			return err
		}
	}
	var idle []string
	for _, h := range l.Hosts {
		if !taken[h] {
			idle = append(idle, h)
			taken[h] = true
		}
	}
	if err := config.fixed(l.ID()+":none", idle, 404); err != nil {
		return err
	}
	if l.Protocol != mesh.ListenHTTPS {
		return nil
	}
	var others []string
	for _, o := range port.Listeners {
		for _, h := range o.Hosts {
			if o != l && !taken[h] {
				taken[h] = true
				others = append(others, h)
			}
		}
	}
	return config.fixed(l.ID()+":misdirected", others, 421)
}

// fixed adds a virtual host that answers itself.
func (c *routeConfig) fixed(name string, hosts []string, status uint32) error {
	if len(hosts) == 0 {
		return nil
	}
	var routes []byte
	if status != 404 {
		data, err := encode(&routev3.Route{
			Name:   "misdirected",
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_DirectResponse{DirectResponse: directResponse(status, "")},
		})
		if err != nil {
			return fmt.Errorf("virtual host %s: %w", name, err)
		}
		routes = appendField(nil, virtualHostRoutes, data)
	}
	return c.add(name, hosts, routes)
}

// closed ends a configuration without a host for the rest, which is answered 404.
// The port of an authority does not matter: the listener's is known.
func (c *routeConfig) closed() (Resource, error) {
	head, err := encode(&routev3.RouteConfiguration{Name: c.name})
	if err != nil {
		return Resource{}, err
	}
	tail, err := encode(&routev3.RouteConfiguration{
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(maxDirectResponseBytes),
		IgnorePortInHostMatching:       true,
	})
	return Resource{Type: RouteType, Name: c.name, Bytes: append(append(head, c.hosts...), tail...)}, err
}
