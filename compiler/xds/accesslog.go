package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/structpb"
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

// accessLog writes one JSON object a line to Envoy's standard output, which the
// agent owns.
func (p *packer) accessLog(fields ...map[string]string) []*accesslogv3.AccessLog {
	format := map[string]*structpb.Value{}
	for _, f := range fields {
		for k, v := range f {
			format[k] = structpb.NewStringValue(v)
		}
	}
	return []*accesslogv3.AccessLog{{
		Name: "envoy.access_loggers.stdout",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: p.any(&streamv3.StdoutAccessLog{
			AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: &structpb.Struct{Fields: format}},
			}},
		})},
	}}
}
