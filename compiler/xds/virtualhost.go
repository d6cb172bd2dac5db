package xds

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Field numbers of what is put together of encoded parts.
const (
	virtualHostRoutes        protowire.Number = 3 // VirtualHost.routes
	routeConfigVirtualHosts  protowire.Number = 2 // RouteConfiguration.virtual_hosts
	connectUpgrade                            = "CONNECT"
	websocketUpgrade                          = "websocket"
	tcpIdle                                   = time.Hour // Envoy's own for TCP, and not that of requests
	unknownHostStatus        uint32           = 502
	blackHoleVirtualHostName                  = "unknown"
)

// maxDirectResponseBytes is what Istio sets, and its webhook demands. The 65536
// characters of a native body are at most a quarter of it.
const maxDirectResponseBytes = 1 << 20

// routesKey: the routes of a port are the same for all clients of a class.
type routesKey struct {
	port  *check.Port
	class string
}

// clientClass is which of a port's matches exist for a client, as one character
// for each; "" where no match asks who calls.
func clientClass(p *check.Port, client *check.Workload) string {
	if !asksCaller(p) {
		return ""
	}
	var b strings.Builder
	for _, r := range p.Rules {
		kept := r.MatchesFor(client)
		for i, k := 0, 0; i < len(r.Matches); i++ {
			// MatchesFor keeps the order, so the next kept match is this one or a later one.
			if k < len(kept) && sameMatch(&kept[k], &r.Matches[i]) {
				b.WriteByte('1')
				k++
			} else {
				b.WriteByte('0')
			}
		}
	}
	return b.String()
}

// sameMatch: spans tell matches of one rule apart, callers do where spans are missing.
func sameMatch(a, b *mesh.Match) bool {
	return a.Span == b.Span && a.Path == b.Path && len(a.From) == len(b.From) &&
		(len(a.From) == 0 || &a.From[0] == &b.From[0])
}

func asksCaller(p *check.Port) bool {
	return slices.ContainsFunc(p.Rules, (*check.Rule).AsksCaller)
}

// portRoutes returns the encoded routes of a port as they stand in a VirtualHost:
// everything but its name and domains.
func (g *Generator) portRoutes(p *check.Port, client *check.Workload) ([]byte, error) {
	key := routesKey{port: p, class: clientClass(p, client)}
	return g.routes.Get(key, func() ([]byte, error) {
		var pack packer
		var out []byte
		for _, r := range pack.portRoutes(p, client) {
			data, err := encode(r)
			if err != nil {
				return nil, fmt.Errorf("route %s: %w", r.Name, err)
			}
			out = appendField(out, virtualHostRoutes, data)
		}
		return out, pack.err
	})
}

func (p *packer) portRoutes(port *check.Port, client *check.Workload) []*routev3.Route {
	var out []*routev3.Route
	for _, rule := range port.Rules {
		matches := rule.MatchesFor(client)
		if len(matches) == 0 {
			continue
		}
		if port.Protocol.IsHTTP() {
			out = append(out, p.routes(port, rule, matches)...)
		} else {
			out = append(out, p.connectRoute(port, rule))
		}
	}
	return out
}

// connectRoute leads an explicit proxy's CONNECT to a port that is not HTTP: the
// proxy answers 200 and passes bytes on.
func (p *packer) connectRoute(port *check.Port, rule *check.Rule) *routev3.Route {
	plain := *rule // what speaks of requests does not exist here
	plain.Retry, plain.Timeout = nil, 0
	action := p.forward(port, &plain, nil)
	action.IdleTimeout = durationpb.New(tcpIdle)
	action.UpgradeConfigs = []*routev3.RouteAction_UpgradeConfig{{
		UpgradeType:   connectUpgrade,
		ConnectConfig: &routev3.RouteAction_UpgradeConfig_ConnectConfig{},
	}}
	return &routev3.Route{
		Name: rule.ID,
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_ConnectMatcher_{
			ConnectMatcher: &routev3.RouteMatch_ConnectMatcher{}}},
		Action: &routev3.Route_Route{Route: action},
	}
}

// virtualHost returns an encoded VirtualHost.
func virtualHost(name string, domains []string, routes []byte) ([]byte, error) {
	head, err := encode(&routev3.VirtualHost{Name: name, Domains: domains})
	return append(head, routes...), err
}

// unknownHost answers what no service of the scope is asked for. A route of its
// own name tells it apart in the access log.
func unknownHost(action *routev3.Route) ([]byte, error) {
	return encode(&routev3.VirtualHost{Name: blackHoleVirtualHostName, Domains: []string{"*"}, Routes: []*routev3.Route{action}})
}

func blackHoleRoute() *routev3.Route {
	return &routev3.Route{
		Name:  blackHoleVirtualHostName,
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_DirectResponse{DirectResponse: directResponse(unknownHostStatus,
			"this workload may not call this host: no service in its scope has the name\n")},
	}
}

func passthroughRoute() *routev3.Route {
	return &routev3.Route{
		Name:  "passthrough",
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: passthroughCluster},
			Timeout:          durationpb.New(0), // nobody wrote one
		}},
	}
}

// routeConfig puts a route configuration together of encoded virtual hosts.
// Envoy refuses all of it for one duplicate domain, so that is an error here.
type routeConfig struct {
	name  string
	hosts []byte
	owner map[string]string // domain -> virtual host
}

func (c *routeConfig) add(name string, domains []string, routes []byte) error {
	for _, d := range domains {
		d = strings.ToLower(d)
		if owner, taken := c.owner[d]; taken {
			return fmt.Errorf("route configuration %s: domain %q of %s is also %s's", c.name, d, name, owner)
		}
		c.owner[d] = name
	}
	host, err := virtualHost(name, domains, routes)
	c.hosts = appendField(c.hosts, routeConfigVirtualHosts, host)
	return err
}

func (c *routeConfig) resource(rest *routev3.Route) (Resource, error) {
	last, err := unknownHost(rest)
	if err != nil {
		return Resource{}, err
	}
	head, err := encode(&routev3.RouteConfiguration{Name: c.name})
	if err != nil {
		return Resource{}, err
	}
	tail, err := encode(&routev3.RouteConfiguration{
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(maxDirectResponseBytes),
	})
	data := append(head, c.hosts...)
	data = appendField(data, routeConfigVirtualHosts, last)
	return Resource{Type: RouteType, Name: c.name, Bytes: append(data, tail...)}, err
}

func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}
