package agent_test

import (
	"context"
	"crypto/x509"
	"strconv"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/agent/xds"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// A slice describes a proxy whose outbound listener calls its own inbound one
// by mutual TLS, so that one Envoy shows the whole way of a request.
type slice struct {
	inbound, outbound uint32 // ports of the listeners
	cluster           string // that the route leads to; "catalog" by default
	header            string // that the route adds, to tell releases apart
	others            int    // further clusters, to make the slice larger
	timeout           time.Duration
	bundle            []byte // makes OPA decide
	revoked           bool   // nobody may call
	gateway           uint32 // port of a gateway's listener, for shop.example and other.example
	edit              func(*parts)
}

// parts are a slice's messages, for a test to spoil.
type parts struct {
	clusters  []*clusterv3.Cluster
	listeners []*listenerv3.Listener
	routes    []*routev3.RouteConfiguration
	leaf      artifact.Leaf
	limits    artifact.Constraints
}

func (s slice) name() string {
	if s.cluster == "" {
		return "catalog"
	}
	return s.cluster
}

// clusters are those that take live endpoints.
func (s slice) clusters() []string {
	out := []string{s.name()}
	for i := range s.others {
		out = append(out, "other-"+strconv.Itoa(i))
	}
	return out
}

func (s slice) release(t *testing.T, roots []byte) *artifact.Release {
	t.Helper()
	p := s.parts(t)
	if s.edit != nil {
		s.edit(p)
	}
	b := artifact.NewBuilder(nil)
	lists := []*artifact.List{p.list(t, xds.ClusterType), p.list(t, xds.ListenerType), p.list(t, xds.RouteType)}
	p.leaf.Slice = b.AddSlice(lists...)
	policy := artifact.AgentPolicy{Engine: artifact.EngineRBAC, Capture: artifact.CaptureNone,
		Inbound:  []artifact.InboundPort{{Port: s.inbound, Protocol: "http", Cluster: "inbound"}},
		Outbound: []artifact.OutboundPort{{Port: s.outbound, Protocol: "http", Listener: "outbound"}},
	}
	if s.gateway != 0 {
		policy.Gateway = []artifact.GatewayPort{{Port: s.gateway, Listener: "edge"}}
	}
	if s.bundle != nil {
		policy.Engine = artifact.EngineOPA
		p.leaf.Bundle = b.AddBlob(s.bundle)
	}
	limits, err := p.limits.Encode()
	if err != nil {
		t.Fatal(err)
	}
	data, err := policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p.leaf.Constraints, p.leaf.AgentPolicy = b.AddBlob(limits), b.AddBlob(data)
	b.AddLeaf(p.leaf)
	other := p.leaf
	other.SPIFFEID, other.Workload = "spiffe://"+trustDomain+"/ns/shop/sa/order", "shop/order"
	b.AddLeaf(other)
	b.Share(artifact.TrustBundle, roots)
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s slice) parts(t *testing.T) *parts {
	p := &parts{
		leaf: artifact.Leaf{SPIFFEID: spiffeID, Workload: workload, Kind: artifact.Live, Sensitivity: artifact.Normal, MinEnvoy: "1.39.1"},
		limits: artifact.Constraints{EndpointCIDRs: []string{"127.0.0.0/8"}, Clusters: []artifact.ClusterConstraint{
			{Name: s.name(), Ports: []uint32{s.inbound}, SANs: []string{spiffeID}, MTLS: true},
		}},
		clusters:  []*clusterv3.Cluster{s.edsCluster("inbound", nil), s.edsCluster(s.name(), clientTLS(t))},
		listeners: []*listenerv3.Listener{s.outboundListener(t), s.inboundListener(t)},
		routes:    []*routev3.RouteConfiguration{s.routes("outbound", s.name())},
	}
	if s.gateway != 0 {
		p.listeners = append(p.listeners, s.edge(t))
	}
	for _, name := range s.clusters()[1:] {
		p.clusters = append(p.clusters, s.edsCluster(name, clientTLS(t)))
		p.limits.Clusters = append(p.limits.Clusters, artifact.ClusterConstraint{Name: name, Ports: []uint32{s.inbound}, SANs: []string{spiffeID}, MTLS: true})
	}
	return p
}

func (p *parts) list(t *testing.T, typeURL string) *artifact.List {
	t.Helper()
	var resources []artifact.Resource
	add := func(name string, m proto.Message) {
		resources = append(resources, artifact.NewResource(typeURL, name, marshal(t, m)))
	}
	switch typeURL {
	case xds.ClusterType:
		for _, c := range p.clusters {
			add(c.GetName(), c)
		}
	case xds.ListenerType:
		for _, l := range p.listeners {
			add(l.GetName(), l)
		}
	case xds.RouteType:
		for _, r := range p.routes {
			add(r.GetName(), r)
		}
	}
	list, err := artifact.NewList(resources)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (s slice) edsCluster(name string, tls *corev3.TransportSocket) *clusterv3.Cluster {
	timeout := s.timeout
	if timeout == 0 {
		timeout = time.Second
	}
	return &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(timeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		TransportSocket:      tls,
	}
}

func (s slice) outboundListener(t *testing.T) *listenerv3.Listener {
	h := &hcmv3.HttpConnectionManager{
		StatPrefix: "outbound", HttpFilters: []*hcmv3.HttpFilter{router(t)},
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "outbound", ConfigSource: ads()}},
	}
	l := listener("outbound", s.outbound, &listenerv3.FilterChain{Filters: []*listenerv3.Filter{hcm(t, h)}})
	l.GetAddress().GetSocketAddress().Address = "127.0.0.1"
	return l
}

func (s slice) inboundListener(t *testing.T) *listenerv3.Listener {
	filters := []*hcmv3.HttpFilter{router(t)}
	if s.bundle != nil {
		filters = append([]*hcmv3.HttpFilter{{Name: "ext_authz", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &extauthzv3.ExtAuthz{
			TransportApiVersion: corev3.ApiVersion_V3,
			Services: &extauthzv3.ExtAuthz_GrpcService{GrpcService: &corev3.GrpcService{
				TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "agent"}},
			}},
		})}}}, filters...)
	}
	if s.revoked {
		filters = append([]*hcmv3.HttpFilter{{Name: "rbac", ConfigType: &hcmv3.HttpFilter_TypedConfig{
			TypedConfig: packed(t, &rbacv3.RBAC{Rules: &rbacconfigv3.RBAC{}}),
		}}}, filters...)
	}
	h := &hcmv3.HttpConnectionManager{
		StatPrefix: "inbound", HttpFilters: filters, NormalizePath: wrapperspb.Bool(true),
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: s.routes("inbound", "inbound")},
	}
	return listener("inbound", s.inbound, &listenerv3.FilterChain{
		Filters: []*listenerv3.Filter{hcm(t, h)}, TransportSocket: serverTLS(t),
	})
}

func (s slice) routes(name, cluster string) *routev3.RouteConfiguration {
	host := &routev3.VirtualHost{Name: name, Domains: []string{"*"}, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
	}}}
	if s.header != "" {
		host.RequestHeadersToAdd = []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x-release", Value: s.header}}}
	}
	return &routev3.RouteConfiguration{Name: name, VirtualHosts: []*routev3.VirtualHost{host}}
}

func listener(name string, port uint32, chain *listenerv3.FilterChain) *listenerv3.Listener {
	return &listenerv3.Listener{Name: name, FilterChains: []*listenerv3.FilterChain{chain},
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "0.0.0.0", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
		}}},
	}
}

func hcm(t *testing.T, h *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return &listenerv3.Filter{Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, h)}}
}

func router(t *testing.T) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(t, &routerv3.Router{})}}
}

func serverTLS(t *testing.T) *corev3.TransportSocket {
	return tlsSocket(t, &tlsv3.DownstreamTlsContext{
		CommonTlsContext:         meshTLS(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + trustDomain + "/"}}),
		RequireClientCertificate: wrapperspb.Bool(true),
	})
}

func clientTLS(t *testing.T) *corev3.TransportSocket {
	return tlsSocket(t, &tlsv3.UpstreamTlsContext{
		CommonTlsContext: meshTLS(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: spiffeID}}),
	})
}

func meshTLS(san *matcherv3.StringMatcher) *tlsv3.CommonTlsContext {
	return &tlsv3.CommonTlsContext{
		TlsParams:                      &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_3, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3},
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "default", SdsConfig: ads()}},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "ROOTCA", SdsConfig: ads()},
				DefaultValidationContext: &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{
					{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: san},
				}},
			},
		},
	}
}

func tlsSocket(t *testing.T, m proto.Message) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(t, m)}}
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName()), Value: marshal(t, m)}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// peerChain returns the verified certificates of a caller.
func peerChain(ctx context.Context) []*x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0]
}
