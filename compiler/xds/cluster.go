package xds

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/locality"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

const (
	httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	// passthroughCluster goes where the client wanted to (egress allow-any).
	passthroughCluster = "passthrough"
)

// cluster returns the resource of a backend.
func (g *Generator) cluster(b *check.Backend) (Resource, error) {
	return g.clusters.Get(b, func() (Resource, error) {
		var p packer
		name := ClusterName(b)
		r, err := newResource(ClusterType, name, p.outboundCluster(name, b))
		if err == nil && p.err != nil {
			err = fmt.Errorf("cluster %q: %w", name, p.err)
		}
		return r, err
	})
}

func (p *packer) outboundCluster(name string, b *check.Backend) *clusterv3.Cluster {
	t := &b.Traffic
	out := &clusterv3.Cluster{
		Name:                      name,
		AltStatName:               StatName(name),
		ConnectTimeout:            connectTimeout(&t.Connections),
		CircuitBreakers:           circuitBreakers(t),
		OutlierDetection:          outlierDetection(t.OutlierDetection),
		TransportSocket:           p.clientTLS(b),
		UpstreamConnectionOptions: keepAlive(t.Connections.KeepAlive),
		Metadata:                  destinationMetadata(b),
	}
	setDiscovery(out, b)
	if out.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		out.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	} else {
		p.setLoadBalancing(out, b)
	}
	if t.PanicPercent != nil {
		commonLB(out).HealthyPanicThreshold = &typev3.Percent{Value: *t.PanicPercent}
	}
	if b.LocalityRule().Weighted() {
		commonLB(out).LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
			LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{}}
	}
	out.TypedExtensionProtocolOptions = p.protocolOptions(httpOptions(b))
	return out
}

func commonLB(c *clusterv3.Cluster) *clusterv3.Cluster_CommonLbConfig {
	if c.CommonLbConfig == nil {
		c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{}
	}
	return c.CommonLbConfig
}

const defaultConnectTimeout = 10 * time.Second // as Istio has it

func connectTimeout(c *mesh.Connections) *durationpb.Duration {
	if c.ConnectTimeout == nil {
		return durationpb.New(defaultConnectTimeout)
	}
	return durationpb.New(*c.ConnectTimeout)
}

// Discovered reports whether a backend's cluster asks the agent for endpoints,
// under [ClusterName]. The others have theirs, or a name to resolve, in the slice.
func Discovered(b *check.Backend) bool {
	return b.TLS == check.TLSMesh && b.Traffic.LoadBalancing.Policy != "passthrough"
}

// setDiscovery: unsigned endpoints (EDS) are only for backends whose identity is
// pinned; a plaintext destination is DNS on its signed name or signed addresses.
func setDiscovery(c *clusterv3.Cluster, b *check.Backend) {
	switch {
	case b.Traffic.LoadBalancing.Policy == "passthrough":
		setType(c, clusterv3.Cluster_ORIGINAL_DST)
	case Discovered(b):
		useEDS(c)
	default:
		useSigned(c, b, signedEndpoints(b))
	}
}

// signedEndpoints are the addresses that policy writes for a backend or for its
// workloads; where it writes none, the name of the service. A host with a
// wildcard is no name to resolve, and has none.
func signedEndpoints(b *check.Backend) []mesh.Endpoint {
	if len(b.Static) > 0 {
		return b.Static
	}
	var out []mesh.Endpoint
	for _, w := range b.Workloads {
		for _, e := range w.Endpoints {
			if e.Port == 0 {
				e.Port = targetPort(w, b.Port)
			}
			out = append(out, e)
		}
	}
	if name, ok := dnsName(b.Port.Service); ok && len(out) == 0 {
		out = []mesh.Endpoint{{Address: name}}
	}
	return out
}

// targetPort is where a workload listens for a port of a service, 0 for the
// same number.
func targetPort(w *check.Workload, p *check.Port) uint32 {
	for _, in := range w.Inbound {
		if slices.Contains(in.Services, p) {
			return in.Port
		}
	}
	return 0
}

// useSigned: a wildcard leads where the client's connection was going, which
// only redirection knows.
func useSigned(c *clusterv3.Cluster, b *check.Backend, endpoints []mesh.Endpoint) {
	isName := func(e mesh.Endpoint) bool {
		_, err := netip.ParseAddr(e.Address)
		return err != nil
	}
	switch {
	case len(endpoints) == 0:
		setType(c, clusterv3.Cluster_ORIGINAL_DST)
		return
	case slices.ContainsFunc(endpoints, isName):
		setType(c, clusterv3.Cluster_STRICT_DNS)
		if b.FirstAddress {
			setType(c, clusterv3.Cluster_LOGICAL_DNS)
		}
		c.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
		//lint:ignore SA1019 its successor is a cluster extension, which agents do not take
		c.RespectDnsTtl = true
	default:
		setType(c, clusterv3.Cluster_STATIC)
	}
	c.LoadAssignment = assignment(c.Name, b, endpoints)
}

func setType(c *clusterv3.Cluster, t clusterv3.Cluster_DiscoveryType) {
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: t}
}

func useEDS(c *clusterv3.Cluster) {
	setType(c, clusterv3.Cluster_EDS)
	c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: adsSource()}
}

func assignment(cluster string, b *check.Backend, endpoints []mesh.Endpoint) *endpointv3.ClusterLoadAssignment {
	var lb []*endpointv3.LbEndpoint
	for _, e := range endpoints {
		lb = append(lb, lbEndpoint(e.Address, cmp.Or(e.Port, b.Port.Number), e.Weight))
	}
	out := &endpointv3.ClusterLoadAssignment{ClusterName: cluster}
	if rule := b.LocalityRule(); rule.Weighted() {
		out.Endpoints = byLocality(rule, endpoints, lb)
	} else {
		out.Endpoints = []*endpointv3.LocalityLbEndpoints{{LbEndpoints: lb}}
	}
	return out
}

// byLocality weighs the places of signed endpoints, for callers wherever they are.
func byLocality(rule *locality.Rule, endpoints []mesh.Endpoint, lb []*endpointv3.LbEndpoint) []*endpointv3.LocalityLbEndpoints {
	var groups []locality.Group
	var out []*endpointv3.LocalityLbEndpoints
	for i, e := range endpoints {
		place, _ := locality.Parse(e.Locality)
		k := slices.IndexFunc(groups, func(g locality.Group) bool { return g.Place == place })
		if k < 0 {
			k = len(groups)
			groups = append(groups, locality.Group{Place: place})
			out = append(out, &endpointv3.LocalityLbEndpoints{
				Locality: &corev3.Locality{Region: place[0], Zone: place[1], SubZone: place[2]}})
		}
		groups[k].Weight += max(1, e.Weight)
		out[k].LbEndpoints = append(out[k].LbEndpoints, lb[i])
	}
	rule.Arrange(locality.Place{}, groups)
	for k, g := range groups {
		if g.Share > 0 {
			out[k].LoadBalancingWeight = wrapperspb.UInt32(g.Share)
		} else {
			out[k].LbEndpoints = nil
		}
	}
	return slices.DeleteFunc(out, func(l *endpointv3.LocalityLbEndpoints) bool { return len(l.LbEndpoints) == 0 })
}

func lbEndpoint(address string, port, weight uint32) *endpointv3.LbEndpoint {
	out := &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
		Endpoint: &endpointv3.Endpoint{Address: socketAddress(address, port)},
	}}
	if weight > 0 {
		out.LoadBalancingWeight = wrapperspb.UInt32(weight)
	}
	return out
}

func socketAddress(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

func circuitBreakers(t *check.Traffic) *clusterv3.CircuitBreakers {
	b := t.CircuitBreaker
	out := &clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     wrapperspb.UInt32(b.MaxConnections),
		MaxPendingRequests: wrapperspb.UInt32(b.MaxPendingRequests),
		MaxRequests:        wrapperspb.UInt32(b.MaxRequests),
		MaxRetries:         wrapperspb.UInt32(b.MaxRetries),
		TrackRemaining:     true,
	}
	if r := t.RetryBudget; r != nil {
		out.RetryBudget = &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent:       &typev3.Percent{Value: r.Percent},
			MinRetryConcurrency: wrapperspb.UInt32(r.MinRetryConcurrency),
		}
		if r.Interval != nil {
			out.RetryBudget.BudgetInterval = durationpb.New(*r.Interval)
		}
	}
	breakers := &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{out}}
	if b.MaxConnectionsPerHost > 0 { // Envoy reads no other threshold of a host
		breakers.PerHostThresholds = []*clusterv3.CircuitBreakers_Thresholds{{MaxConnections: wrapperspb.UInt32(b.MaxConnectionsPerHost)}}
	}
	return breakers
}

func keepAlive(k *mesh.KeepAlive) *clusterv3.UpstreamConnectionOptions {
	if k == nil {
		return nil
	}
	out := &corev3.TcpKeepalive{}
	if k.Probes > 0 {
		out.KeepaliveProbes = wrapperspb.UInt32(k.Probes)
	}
	if k.Time > 0 {
		out.KeepaliveTime = wrapperspb.UInt32(seconds(k.Time))
	}
	if k.Interval > 0 {
		out.KeepaliveInterval = wrapperspb.UInt32(seconds(k.Interval))
	}
	return &clusterv3.UpstreamConnectionOptions{TcpKeepalive: out}
}

// seconds rounds up: Envoy has whole seconds, and 0 would mean the system's default.
func seconds(d time.Duration) uint32 { return uint32(math.Ceil(d.Seconds())) }

func (p *packer) protocolOptions(o *httpv3.HttpProtocolOptions) map[string]*anypb.Any {
	if o == nil {
		return nil
	}
	return map[string]*anypb.Any{httpProtocolOptions: p.any(o)}
}

// inboundCluster is the application behind a port. The agent answers its
// endpoint, which is on this machine, so nothing is pinned. It speaks what the
// caller speaks; with http1, HTTP/1.1.
func (p *packer) inboundCluster(in *check.Inbound, http1 bool) *clusterv3.Cluster {
	out := &clusterv3.Cluster{Name: InboundClusterName(in.Port), ConnectTimeout: durationpb.New(defaultConnectTimeout)}
	useEDS(out)
	// The application's own limits apply; the callers' proxies have theirs.
	unlimited := check.Thresholds{MaxConnections: math.MaxUint32, MaxPendingRequests: math.MaxUint32,
		MaxRequests: math.MaxUint32, MaxRetries: math.MaxUint32}
	out.CircuitBreakers = circuitBreakers(&check.Traffic{CircuitBreaker: unlimited})
	mode := ""
	if http1 {
		mode = "never"
	}
	out.TypedExtensionProtocolOptions = p.protocolOptions(upstreamHTTP(in.Protocol, mode, nil))
	return out
}

// passthrough goes to the original destination, without TLS of ours.
func (p *packer) passthrough() *clusterv3.Cluster {
	out := &clusterv3.Cluster{
		Name: passthroughCluster, ConnectTimeout: durationpb.New(defaultConnectTimeout),
		LbPolicy: clusterv3.Cluster_CLUSTER_PROVIDED,
	}
	setType(out, clusterv3.Cluster_ORIGINAL_DST)
	return out
}
