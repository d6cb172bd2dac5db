package xds

import (
	"strconv"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// Response flags of Envoy, which also tell a fallback in the access log: it
// stands there beside the status that the fallback gave.
const (
	flagOverflow  = "UO" // the circuit breaker was open
	flagNoHealthy = "UH" // no endpoint was healthy
)

// fallbacks are the answers that stand in for a backend which cannot be asked.
// Envoy raises the flags before a byte went to an endpoint, never after. The
// backends are in the order of their cluster names.
func (p *packer) fallbacks(backends []*check.Backend) *hcmv3.LocalReplyConfig {
	out := &hcmv3.LocalReplyConfig{}
	for _, b := range backends {
		if f := b.Traffic.Fallback; f != nil && f.Respond != nil && b.Port.Protocol.IsHTTP() {
			out.Mappers = append(out.Mappers, p.fallback(ClusterName(b), f))
		}
	}
	if len(out.Mappers) == 0 {
		return nil
	}
	return out
}

func (p *packer) fallback(cluster string, f *mesh.Fallback) *hcmv3.ResponseMapper {
	out := &hcmv3.ResponseMapper{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
			AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{raised(f), p.ofCluster(cluster)}}}},
		StatusCode:   wrapperspb.UInt32(f.Respond.Status),
		HeadersToAdd: headerOps(&mesh.HeaderOps{Set: f.Respond.Headers}).add,
	}
	body := directResponse(f.Respond.Status, f.Respond.Body).Body
	if body == nil {
		body = dataSource("", false) // and not Envoy's "no healthy upstream"
	}
	out.Body = body
	return out
}

func raised(f *mesh.Fallback) *accesslogv3.AccessLogFilter {
	var flags []string
	if f.WhenOverflow {
		flags = append(flags, flagOverflow)
	}
	if f.WhenNoHealthy {
		flags = append(flags, flagNoHealthy)
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: flags}}}
}

// ofCluster holds for replies in the name of one cluster. CEL's string literals
// are those of Go.
func (p *packer) ofCluster(name string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name: "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: p.any(&celv3.ExpressionFilter{
				Expression: "xds.cluster_name == " + strconv.Quote(name),
			})},
		}}}
}
