package xds

import (
	"strconv"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// httpOptions is how requests travel to a backend; nil for a port that is not HTTP.
func httpOptions(b *check.Backend) *httpv3.HttpProtocolOptions {
	c := &b.Traffic.Connections
	common := &corev3.HttpProtocolOptions{}
	if c.IdleTimeout != nil {
		common.IdleTimeout = durationpb.New(*c.IdleTimeout)
	}
	if c.MaxConnectionDuration != nil {
		common.MaxConnectionDuration = durationpb.New(*c.MaxConnectionDuration)
	}
	if c.MaxRequests > 0 {
		common.MaxRequestsPerConnection = wrapperspb.UInt32(c.MaxRequests)
	}
	out := upstreamHTTP(b.Port.Protocol, c.HTTP2, http2Options(c))
	if out != nil {
		out.CommonHttpProtocolOptions = common
		out.UpstreamHttpProtocolOptions = nameOfRequest(b)
		out.OutlierDetection = errorMatcher(b.Traffic.OutlierDetection)
	}
	return out
}

// errorMatcher says which answers outlier detection counts; nil: every 5xx.
func errorMatcher(o *mesh.OutlierDetection) *httpv3.HttpProtocolOptions_OutlierDetection {
	if o == nil || len(o.ErrorStatuses) == 0 {
		return nil
	}
	var codes []string
	for _, code := range o.ErrorStatuses {
		codes = append(codes, strconv.Itoa(int(code)))
	}
	status := envoymatch.Header(mesh.HeaderMatch{Name: ":status", StringMatch: mesh.StringMatch{Kind: mesh.Regex, Value: strings.Join(codes, "|")}})
	return &httpv3.HttpProtocolOptions_OutlierDetection{ErrorMatcher: &matcherv3.MatchPredicate{
		Rule: &matcherv3.MatchPredicate_HttpResponseHeadersMatch{HttpResponseHeadersMatch: &matcherv3.HttpHeadersMatch{
			Headers: []*routev3.HeaderMatcher{status}}}}}
}

// nameOfRequest makes the request's own host the server's name, sent and
// verified, where a backend has several.
func nameOfRequest(b *check.Backend) *corev3.UpstreamHttpProtocolOptions {
	if !verifiesRequestHost(b) {
		return nil
	}
	return &corev3.UpstreamHttpProtocolOptions{AutoSni: true, AutoSanValidation: true}
}

func verifiesRequestHost(b *check.Backend) bool {
	c := b.Traffic.ClientTLS
	s := b.Port.Service
	return b.TLS == check.TLSSimple && s.External != nil && b.Port.Protocol.IsHTTP() &&
		(c == nil || c.SNI == "" && len(c.SANs) == 0) &&
		(len(s.Hosts) > 1 || strings.HasPrefix(s.Hosts[0], "*"))
}

// upstreamHTTP: gRPC and http2 ports speak HTTP/2. An http port speaks what its
// client speaks, unless the policy says otherwise: upgrade or never.
func upstreamHTTP(protocol mesh.Protocol, mode string, http2 *corev3.Http2ProtocolOptions) *httpv3.HttpProtocolOptions {
	switch {
	case !protocol.IsHTTP():
		return nil
	case protocol != mesh.HTTP || mode == "upgrade":
		return explicit(&httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: http2OrDefault(http2)}})
	case mode == "never":
		return explicit(&httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}}})
	}
	return &httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  &corev3.Http1ProtocolOptions{},
				Http2ProtocolOptions: http2OrDefault(http2),
			}},
	}
}

func explicit(c *httpv3.HttpProtocolOptions_ExplicitHttpConfig) *httpv3.HttpProtocolOptions {
	return &httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: c}}
}

func http2OrDefault(o *corev3.Http2ProtocolOptions) *corev3.Http2ProtocolOptions {
	if o == nil {
		return &corev3.Http2ProtocolOptions{}
	}
	return o
}

func http2Options(c *mesh.Connections) *corev3.Http2ProtocolOptions {
	out := &corev3.Http2ProtocolOptions{}
	if c.MaxConcurrentStreams > 0 {
		out.MaxConcurrentStreams = wrapperspb.UInt32(c.MaxConcurrentStreams)
	}
	if k := c.HTTP2KeepAlive; k != nil {
		out.ConnectionKeepalive = &corev3.KeepaliveSettings{Interval: durationpb.New(k.Interval), Timeout: durationpb.New(k.Timeout)}
	}
	return out
}
