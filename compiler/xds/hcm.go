package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"

	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

const (
	hcmFilter      = "envoy.filters.network.http_connection_manager"
	rbacFilter     = "envoy.filters.http.rbac"
	extAuthzFilter = "envoy.filters.http.ext_authz"
)

// Limits of Envoy's edge practice, which hold inside a mesh too.
const (
	nativeStreamIdle     = 5 * time.Minute
	requestHeadersWithin = 10 * time.Second
	http2Streams         = 100
	http2StreamWindow    = 64 << 10
	http2Connection      = 1 << 20
)

// connectionManager is what inbound and outbound share. It has no
// internal_address_config: absent, no request is internal and x-envoy-retry-on
// and its like are dropped; present and empty, a private address in
// x-forwarded-for makes it so, and anybody may write that (Envoy 1.40).
func (p *packer) connectionManager(s *check.Settings, statPrefix string, path map[string]string) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix: statPrefix,
		CodecType:  hcmv3.HttpConnectionManager_AUTO,
		// Rules see the path that the upstream sees (CVE-2021-29492).
		NormalizePath:                wrapperspb.Bool(true),
		MergeSlashes:                 s.MergeSlashes,
		PathWithEscapedSlashesAction: escapedSlashes(s),
		CommonHttpProtocolOptions:    &corev3.HttpProtocolOptions{HeadersWithUnderscoresAction: underscores(s)},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams:        wrapperspb.UInt32(http2Streams),
			InitialStreamWindowSize:     wrapperspb.UInt32(http2StreamWindow),
			InitialConnectionWindowSize: wrapperspb.UInt32(http2Connection),
		},
		StreamIdleTimeout:          durationpb.New(streamIdle(s)),
		RequestHeadersTimeout:      durationpb.New(requestHeadersWithin),
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
		UseRemoteAddress:           wrapperspb.Bool(false), // a sidecar is no edge
		// "admin.example." is a host that rules about "admin.example" must see.
		StripTrailingHostDot:      true,
		PreserveExternalRequestId: true,
		UpgradeConfigs:            []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: websocketUpgrade}},
		AccessLog:                 p.requestReports(path),
		Tracing:                   p.tracing(),
	}
}

func escapedSlashes(s *check.Settings) hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction {
	if s.RejectEscapedSlashes {
		return hcmv3.HttpConnectionManager_REJECT_REQUEST
	}
	return hcmv3.HttpConnectionManager_KEEP_UNCHANGED
}

// underscores: applications that read x_name as x-name would let a caller say
// what only the proxy may.
func underscores(s *check.Settings) corev3.HttpProtocolOptions_HeadersWithUnderscoresAction {
	if s.Defaults == mesh.Istio {
		return corev3.HttpProtocolOptions_ALLOW
	}
	return corev3.HttpProtocolOptions_REJECT_REQUEST
}

func streamIdle(s *check.Settings) time.Duration {
	if s.Defaults == mesh.Istio {
		return 0
	}
	return nativeStreamIdle
}

func (p *packer) httpFilter(name string, m message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: p.any(m)}}
}

func (p *packer) router() *hcmv3.HttpFilter {
	return p.httpFilter("envoy.filters.http.router", &routerv3.Router{})
}

// outboundFilters: fault and CORS are off unless the route asks, see perFilter.
func (p *packer) outboundFilters() []*hcmv3.HttpFilter {
	fault := p.httpFilter(faultFilter, &faultv3.HTTPFault{})
	cors := p.httpFilter(corsFilter, &corsv3.Cors{})
	fault.Disabled, cors.Disabled = true, true
	return []*hcmv3.HttpFilter{fault, cors, p.router()}
}

// inboundFilters enforce access before anything else happens: what is denied counts
// towards no limit.
func (p *packer) inboundFilters(access PortAccess, limits []*hcmv3.HttpFilter) []*hcmv3.HttpFilter {
	var out []*hcmv3.HttpFilter
	for _, r := range access.HTTP {
		out = append(out, p.httpFilter(rbacFilter, r))
	}
	if access.ExtAuthz {
		out = append(out, p.httpFilter(extAuthzFilter, &extauthzv3.ExtAuthz{
			Services:            &extauthzv3.ExtAuthz_GrpcService{GrpcService: agentService()},
			TransportApiVersion: corev3.ApiVersion_V3,
			// Absent is closed; written for whoever reads the configuration.
			FailureModeAllow:       false,
			IncludePeerCertificate: false,
			IncludeTlsSession:      true, // connection.sni
			// Joined lines of a header cannot be told from one line with a comma.
			EncodeRawHeaders: true,
		}))
	}
	out = append(out, limits...)
	return append(out, p.router())
}

const agentTimeout = 500 * time.Millisecond

func agentService() *corev3.GrpcService {
	return &corev3.GrpcService{
		Timeout: durationpb.New(agentTimeout),
		TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: AgentCluster}},
	}
}

func (p *packer) networkFilter(name string, m message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: p.any(m)}}
}
