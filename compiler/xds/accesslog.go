package xds

import (
	"maps"
	"slices"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otelv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// connectionLog is what is known of every connection; requestLog of requests.
// The address is the connection's, for x-forwarded-for is the caller's to write.
// Paths are logged without the query, which may carry secrets. What a caller
// chooses has a length, since a line of it is written for each request.
var connectionLog = map[string]string{
	"time":             "%START_TIME%",
	"flags":            "%RESPONSE_FLAGS%",
	"details":          "%RESPONSE_CODE_DETAILS%",
	"cluster":          "%UPSTREAM_CLUSTER_RAW%",
	"upstream":         "%UPSTREAM_HOST%",
	"upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	"downstream":       "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
	"local":            "%DOWNSTREAM_LOCAL_ADDRESS%",
	"peer":             "%DOWNSTREAM_PEER_URI_SAN%",
	"duration_ms":      "%DURATION%",
	"bytes_received":   "%BYTES_RECEIVED%",
	"bytes_sent":       "%BYTES_SENT%",
}

var requestLog = map[string]string{
	"method":      "%REQ(:METHOD)%",
	"host":        "%REQ(:AUTHORITY):256%",
	"protocol":    "%PROTOCOL%",
	"status":      "%RESPONSE_CODE%",
	"route":       "%ROUTE_NAME%",
	"request_id":  "%REQ(X-REQUEST-ID):128%",
	"upstream_ms": "%RESPONSE_DURATION%",
	"attempts":    "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}

// A callee logs the path that its rules saw: x-envoy-original-path is the caller's
// to write (compare CVE-2023-27487). The caller's own proxy logs what was asked
// for, from before a rewrite.
var (
	pathAsJudged = map[string]string{"path": "%PATH(NQ:PATH):2048%"}
	pathAsAsked  = map[string]string{"path": "%PATH(NQ:ORIG_OR_PATH):2048%"}
)

// accessLog tells of each connection or request that the workload's telemetry asks
// for; without any, of all of them as JSON on Envoy's standard output, which the agent
// owns.
func (p *packer) accessLog(lists ...map[string]string) []*accesslogv3.AccessLog {
	fields := map[string]string{}
	for _, f := range lists {
		maps.Copy(fields, f)
	}
	var out []*accesslogv3.AccessLog
	for _, l := range p.reporting().Logs {
		log := p.standardOutput(l.Format, fields)
		if l.Collector != nil {
			log = p.openTelemetryLog(l.Collector, fields)
		}
		log.Filter = logFilter(&l.Filter)
		out = append(out, log)
	}
	return out
}

// requestReports are the logs of requests, with these fields besides, and the metrics.
func (p *packer) requestReports(more ...map[string]string) []*accesslogv3.AccessLog {
	return append(p.accessLog(append(more, connectionLog, requestLog)...), p.requestMetrics()...)
}

func (p *packer) standardOutput(format mesh.LogFormat, fields map[string]string) *accesslogv3.AccessLog {
	line := &corev3.SubstitutionFormatString{}
	if format == mesh.TextLog {
		line.Format = &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: textLine(fields)},
		}}
	} else {
		values := map[string]*structpb.Value{}
		for k, v := range fields {
			values[k] = structpb.NewStringValue(v)
		}
		line.Format = &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: values}}
	}
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.stdout",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: p.any(&streamv3.StdoutAccessLog{
			AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: line},
		})},
	}
}

// textLine has the fields of the JSON object as key="value", the time first. Envoy
// escapes nothing here.
func textLine(fields map[string]string) string {
	var line strings.Builder
	line.WriteString(fields["time"])
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if k != "time" {
			line.WriteString(" " + k + "=\"" + fields[k] + "\"")
		}
	}
	line.WriteString("\n")
	return line.String()
}

// openTelemetryLog sends a record with the fields of the JSON object as attributes.
// The resource's cluster_name is the workload, as the bootstrap has it.
func (p *packer) openTelemetryLog(to *check.Collector, fields map[string]string) *accesslogv3.AccessLog {
	attributes := &commonv1.KeyValueList{}
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		attributes.Values = append(attributes.Values, &commonv1.KeyValue{Key: k, Value: &commonv1.AnyValue{
			Value: &commonv1.AnyValue_StringValue{StringValue: fields[k]}}})
	}
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.open_telemetry",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: p.any(&otelv3.OpenTelemetryAccessLogConfig{
			//lint:ignore SA1019 its successor is not in MinEnvoy
			CommonConfig: &grpcv3.CommonGrpcAccessLogConfig{
				LogName: "access", GrpcService: collectorService(to), TransportApiVersion: corev3.ApiVersion_V3,
			},
			Attributes: attributes,
		})},
	}
}

// logFilter passes what meets all conditions; nil passes everything. The names of
// runtime keys are demanded by Envoy, and nothing sets them.
func logFilter(f *mesh.LogFilter) *accesslogv3.AccessLogFilter {
	var all []*accesslogv3.AccessLogFilter
	if f.ErrorsOnly {
		all = append(all, failed())
	}
	if f.MinStatus > 0 {
		all = append(all, statusFrom(f.MinStatus))
	}
	if f.Percent != nil {
		all = append(all, &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_RuntimeFilter{
			RuntimeFilter: &accesslogv3.RuntimeFilter{
				RuntimeKey: "mesh_compile.access_log_percent", PercentSampled: fraction(*f.Percent),
				UseIndependentRandomness: true, // the request's id is the caller's to choose
			}}})
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: all}}}
}

func statusFrom(status uint32) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op:    accesslogv3.ComparisonFilter_GE,
			Value: &corev3.RuntimeUInt32{DefaultValue: status, RuntimeKey: "mesh_compile.access_log_status"},
		}}}}
}

// failed is an answer of an error, or anything that the proxy flags. A gRPC answer
// has status 200 whatever it says; other answers have no gRPC status, from which
// Envoy would infer one.
func failed() *accesslogv3.AccessLogFilter {
	flagged := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{}}}
	notOK := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_GrpcStatusFilter{
		GrpcStatusFilter: &accesslogv3.GrpcStatusFilter{
			Statuses: []accesslogv3.GrpcStatusFilter_Status{accesslogv3.GrpcStatusFilter_OK}, Exclude: true}}}
	grpc := &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{isGRPC(), notOK}}}}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{
		OrFilter: &accesslogv3.OrFilter{Filters: []*accesslogv3.AccessLogFilter{statusFrom(400), flagged, grpc}}}}
}

func isGRPC() *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{
		HeaderFilter: &accesslogv3.HeaderFilter{Header: &routev3.HeaderMatcher{
			Name: "content-type",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "application/grpc"}}},
		}}}}
}
