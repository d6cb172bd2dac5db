package xds

import (
	"cmp"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// metricsPrefix begins the names of the metrics that each proxy keeps of requests and
// connections (envoy.access_loggers.stats). Prometheus sees "envoy_mesh_requests_total".
const metricsPrefix = "mesh"

// clusterMetadata says for metrics what is behind a cluster.
const clusterMetadata = "mesh-compile.dev"

// Labels have the values that policy, the CA and HTTP know, and nothing that a caller
// chooses: who sends strange requests makes no new series.
//
//   - source: at the source's proxy its workload, which is the node's cluster, so
//     that equal listeners stay one; at the destination's the peer's SPIFFE ID.
//   - response_class: 2xx, or 0xx where nothing was answered.
//   - grpc_status: 0 to 16; others are UNKNOWN (2), as for a client.
const (
	nodeTag          = "%CEL(xds.node.cluster)%"
	peerTag          = "%DOWNSTREAM_PEER_URI_SAN%"
	destinationTag   = "%METADATA(CLUSTER:" + clusterMetadata + ":service)%"
	versionTag       = "%METADATA(CLUSTER:" + clusterMetadata + ":version)%"
	responseClassTag = "%CEL(response.code / 100)%xx"
	grpcStatusTag    = "%CEL(response.grpc_status >= 0 && response.grpc_status <= 16 ? response.grpc_status : 2)%"
)

// noVersion is what Envoy writes for what it does not know.
const noVersion = "-"

// destinationMetadata is what the client's metrics say of a backend.
func destinationMetadata(b *check.Backend) *corev3.Metadata {
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{clusterMetadata: {Fields: map[string]*structpb.Value{
		"service": structpb.NewStringValue(serviceName(b.Port.Service)),
		"version": structpb.NewStringValue(cmp.Or(b.Version, noVersion)),
	}}}}
}

// requestMetrics count requests and measure how long they take, by reporter, source,
// destination, version and route.
func (p *packer) requestMetrics() []*accesslogv3.AccessLog {
	tags := append(p.peers(), tag("route", "%ROUTE_NAME%"))
	requests := &statsv3.Config{
		Counters: []*statsv3.Config_Counter{one("requests_total", append(tags[:len(tags):len(tags)], tag("response_class", responseClassTag)))},
		Histograms: []*statsv3.Config_Histogram{{
			Stat: &statsv3.Config_Stat{Name: "request_duration_milliseconds", Tags: tags},
			Unit: statsv3.Config_Histogram_Milliseconds, ValueFormat: "%DURATION%",
		}},
	}
	grpc := p.statsLog(&statsv3.Config{
		Counters: []*statsv3.Config_Counter{one("grpc_requests_total", append(tags[:len(tags):len(tags)], tag("grpc_status", grpcStatusTag)))},
	})
	grpc.Filter = isGRPC()
	return []*accesslogv3.AccessLog{p.statsLog(requests), grpc}
}

// connectionMetrics count connections that have ended.
func (p *packer) connectionMetrics() *accesslogv3.AccessLog {
	return p.statsLog(&statsv3.Config{Counters: []*statsv3.Config_Counter{one("connections_total", p.peers())}})
}

// peers are the two ends as the proxy on this side knows them.
func (p *packer) peers() []*statsv3.Config_Tag {
	if p.side == mesh.ServerSide {
		return []*statsv3.Config_Tag{
			tag("reporter", "destination"), tag("source", peerTag),
			tag("destination", p.serves), tag("version", cmp.Or(p.version, noVersion)),
		}
	}
	return []*statsv3.Config_Tag{
		tag("reporter", "source"), tag("source", nodeTag),
		tag("destination", destinationTag), tag("version", versionTag),
	}
}

func tag(name, format string) *statsv3.Config_Tag {
	return &statsv3.Config_Tag{Name: name, ValueFormat: format}
}

func one(name string, tags []*statsv3.Config_Tag) *statsv3.Config_Counter {
	return &statsv3.Config_Counter{Stat: &statsv3.Config_Stat{Name: name, Tags: tags}, ValueFixed: wrapperspb.UInt64(1)}
}

func (p *packer) statsLog(c *statsv3.Config) *accesslogv3.AccessLog {
	//lint:ignore SA1019 its successor is not in MinEnvoy
	c.StatPrefix = metricsPrefix
	return &accesslogv3.AccessLog{
		Name:       "envoy.access_loggers.stats",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: p.any(c)},
	}
}

// destination is the service that a port is reached by, or the workload where there is
// not just one.
func (p *packer) destination(in inboundPort) string {
	name := ""
	for _, s := range in.Services {
		if this := serviceName(s.Service); name == "" || name == this {
			name = this
			continue
		}
		return p.workload
	}
	return cmp.Or(name, p.workload)
}
