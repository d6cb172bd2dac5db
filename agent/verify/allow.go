package verify

import (
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	otelv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	localratev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	networkextauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	networkinputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	sslinputsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	previousprioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	samplersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// allowed are the resources and extensions that a release may contain, by type
// URL. Nothing here runs code, reads or writes a file of its own choice, or
// fetches configuration; so no Lua, Wasm, dynamic modules, Golang filters, ECDS
// or file access logs. Access rules of one route, which can be "none" (AZ-22), are
// for routes that the proxy answers itself.
var allowed = typesOf(
	&clusterv3.Cluster{}, &listenerv3.Listener{}, &routev3.RouteConfiguration{},

	&httpinspectorv3.HttpInspector{}, &originaldstv3.OriginalDst{}, &tlsinspectorv3.TlsInspector{},

	&hcmv3.HttpConnectionManager{}, &networkextauthzv3.ExtAuthz{}, &networkrbacv3.RBAC{}, &tcpproxyv3.TcpProxy{},

	&corsv3.Cors{}, &corsv3.CorsPolicy{},
	&extauthzv3.ExtAuthz{}, &extauthzv3.ExtAuthzPerRoute{},
	&faultv3.HTTPFault{}, &grpcstatsv3.FilterConfig{}, &healthv3.HealthCheck{},
	&jwtv3.JwtAuthentication{}, &jwtv3.PerRouteConfig{},
	&localratev3.LocalRateLimit{}, &ratelimitv3.RateLimit{},
	&mutationv3.HeaderMutation{}, &mutationv3.HeaderMutationPerRoute{},
	&rbacv3.RBAC{}, &rbacv3.RBACPerRoute{}, &routerv3.Router{}, &routev3.FilterConfig{},

	&tlsv3.DownstreamTlsContext{}, &tlsv3.UpstreamTlsContext{}, &rawbufferv3.RawBuffer{},
	&httpv3.HttpProtocolOptions{}, &previoushostsv3.PreviousHostsPredicate{}, &previousprioritiesv3.PreviousPrioritiesConfig{},
	&streamv3.StdoutAccessLog{}, &streamv3.StderrAccessLog{},
	&statsv3.Config{}, &otelv3.OpenTelemetryAccessLogConfig{}, &tracev3.ZipkinConfig{}, &tracev3.OpenTelemetryConfig{},
	&samplersv3.ParentBasedSamplerConfig{}, &samplersv3.TraceIdRatioBasedSamplerConfig{},
	&celv3.ExpressionFilter{}, // which cluster a fallback answers for

	// inputs and actions of matchers in RBAC
	&rbacconfigv3.Action{}, &matcherv3.HttpRequestHeaderMatchInput{},
	&networkinputsv3.DestinationPortInput{}, &networkinputsv3.SourceIPInput{}, &networkinputsv3.DestinationIPInput{},
	&sslinputsv3.UriSanInput{},
)

// enforces are the filters that access rules are made of.
var enforces = map[string]bool{
	typeURL(&extauthzv3.ExtAuthz{}): true, typeURL(&rbacv3.RBAC{}): true,
}

func typeURL(m proto.Message) string {
	return "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName())
}

func typesOf(messages ...proto.Message) map[string]protoreflect.MessageType {
	out := make(map[string]protoreflect.MessageType, len(messages))
	for _, m := range messages {
		out[typeURL(m)] = m.ProtoReflect().Type()
	}
	return out
}
