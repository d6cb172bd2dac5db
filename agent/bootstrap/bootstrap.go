// Package bootstrap writes the configuration that Envoy starts with.
//
// In go paths and names of one proxy; out comes JSON that asks the agent for
// everything else over one Unix socket. It is the same for every release: what
// a release says never changes how Envoy is told about it.
//
// The bootstrap has no runtime or extension discovery, no second management
// server, and its admin interface is a Unix socket: whoever reaches that one
// could switch filters off.
package bootstrap

import (
	"encoding/json"
	"fmt"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// AgentCluster is the static cluster that leads to the agent's socket. Slices
// name it for ext_authz.
const AgentCluster = "agent"

// maxProgramSize is the size of an RE2 program that Envoy takes; its own limit
// of 100 refuses ordinary expressions, and the compiler bounds theirs.
const maxProgramSize = 32768

// descriptorFormat lets a rate limit's descriptor hold what its format says of the
// request. Without it all callers would share one count.
const descriptorFormat = "envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value"

// maxSocketPath is the length of a Unix socket's path on Linux.
const maxSocketPath = 107

// Options describe one proxy.
type Options struct {
	NodeID      string // unique in the mesh
	Workload    string // namespace/name
	AgentSocket string
	AdminSocket string
}

// Encode returns the bootstrap as JSON.
func Encode(o Options) ([]byte, error) {
	for _, socket := range []string{o.AgentSocket, o.AdminSocket} {
		if socket == "" || len(socket) > maxSocketPath {
			return nil, fmt.Errorf("writing envoy's bootstrap: socket %q: want a path of 1 to %d bytes", socket, maxSocketPath)
		}
	}
	b, err := o.bootstrap()
	if err != nil {
		return nil, fmt.Errorf("writing envoy's bootstrap: %w", err)
	}
	if err := b.ValidateAll(); err != nil {
		return nil, fmt.Errorf("writing envoy's bootstrap: %w", err)
	}
	data, err := protojson.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("writing envoy's bootstrap: %w", err)
	}
	// protojson varies its spacing on purpose.
	var compact json.RawMessage = data
	return json.MarshalIndent(compact, "", "  ")
}

func (o Options) bootstrap() (*bootstrapv3.Bootstrap, error) {
	agent, err := agentCluster(o.AgentSocket)
	if err != nil {
		return nil, err
	}
	overload, err := overloadManager()
	if err != nil {
		return nil, err
	}
	runtime, err := structpb.NewStruct(map[string]any{"re2.max_program_size.error_level": maxProgramSize, descriptorFormat: true})
	if err != nil {
		return nil, err
	}
	return &bootstrapv3.Bootstrap{
		Node:             &corev3.Node{Id: o.NodeID, Cluster: o.Workload},
		Admin:            &bootstrapv3.Admin{Address: pipe(o.AdminSocket)},
		StaticResources:  &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{agent}},
		DynamicResources: dynamicResources(),
		OverloadManager:  overload,
		LayeredRuntime: &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{
			{Name: "static", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: runtime}},
		}},
	}, nil
}

// maxConnections is Envoy's own advice for the edge ("Configuring Envoy as an
// edge proxy"): far above what a workload takes, and not without end.
const maxConnections = 50000

func overloadManager() (*overloadv3.OverloadManager, error) {
	limit, err := packed(&connectionsv3.DownstreamConnectionsConfig{MaxActiveDownstreamConnections: maxConnections})
	if err != nil {
		return nil, err
	}
	return &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{{
		Name:       "envoy.resource_monitors.global_downstream_max_connections",
		ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: limit},
	}}}, nil
}

func dynamicResources() *bootstrapv3.Bootstrap_DynamicResources {
	return &bootstrapv3.Bootstrap_DynamicResources{
		CdsConfig: ads(), LdsConfig: ads(),
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:             corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion: corev3.ApiVersion_V3,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: AgentCluster, RetryPolicy: reconnect()},
			}}},
			SetNodeOnFirstMessageOnly: true,
		},
	}
}

// reconnect finds a restarted agent within a second, and not after the 30 that
// Envoy's own back-off grows to.
func reconnect() *corev3.RetryPolicy {
	return &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
		BaseInterval: durationpb.New(100 * time.Millisecond),
		MaxInterval:  durationpb.New(time.Second),
	}}
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

func agentCluster(socket string) (*clusterv3.Cluster, error) {
	http2, err := packed(&httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
		ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
				Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
			},
		},
	}})
	if err != nil {
		return nil, err
	}
	endpoint := &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
		Endpoint: &endpointv3.Endpoint{Address: pipe(socket)},
	}}
	return &clusterv3.Cluster{
		Name:                 AgentCluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(time.Second),
		// Envoy's own 1,024 would refuse requests that only wait to be asked about.
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxPendingRequests: wrapperspb.UInt32(maxConnections), MaxRequests: wrapperspb.UInt32(maxConnections),
		}}},
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2,
		},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: AgentCluster,
			Endpoints:   []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{endpoint}}},
		},
	}, nil
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path, Mode: 0o600}}}
}

func packed(m proto.Message) (*anypb.Any, error) {
	out := &anypb.Any{}
	return out, anypb.MarshalFrom(out, m, proto.MarshalOptions{Deterministic: true})
}
