package verify

import (
	"cmp"
	"errors"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	otelv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// reference holds a message that sends traffic somewhere to where it may. The
// agent's cluster leads to the socket that answers SDS: a route to it would give
// a caller the proxy's key. The application's clusters skip every access rule,
// so only an inbound listener, whose chains are looked at, leads there.
func (w walker) reference(m protoreflect.Message) error {
	name, header := destination(m)
	switch {
	case header != "":
		return fmt.Errorf("a request's header %.100q may not choose the cluster", header)
	case name == agentCluster:
		return errors.New("traffic may not be sent to the agent")
	case name != "" && w.application != nil && w.application(name):
		return fmt.Errorf("cluster %.200q is the application: only an inbound listener may lead to it", name)
	}
	return nil
}

// destination returns the cluster that a message names, or the request header
// that would.
func destination(m protoreflect.Message) (name, header string) {
	switch v := m.Interface().(type) {
	case *routev3.RouteAction:
		return v.GetCluster(), v.GetClusterHeader()
	case *routev3.WeightedCluster_ClusterWeight:
		return v.GetName(), v.GetClusterHeader()
	case *routev3.RouteAction_RequestMirrorPolicy:
		return v.GetCluster(), v.GetClusterHeader()
	case *tcpproxyv3.TcpProxy:
		return v.GetCluster(), ""
	case *tcpproxyv3.TcpProxy_WeightedCluster_ClusterWeight:
		return v.GetName(), ""
	case *tracev3.ZipkinConfig:
		return v.GetCollectorCluster(), ""
	case *tracev3.OpenTelemetryConfig:
		return v.GetGrpcService().GetEnvoyGrpc().GetClusterName(), ""
	case *otelv3.OpenTelemetryAccessLogConfig:
		//lint:ignore SA1019 Envoy still reads it
		return cmp.Or(v.GetGrpcService(), v.GetCommonConfig().GetGrpcService()).GetEnvoyGrpc().GetClusterName(), ""
	case *ratelimitv3.RateLimit:
		return v.GetRateLimitService().GetGrpcService().GetEnvoyGrpc().GetClusterName(), ""
	case *corev3.HttpUri:
		return v.GetCluster(), ""
	}
	return "", ""
}
