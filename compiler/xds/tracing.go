package xds

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	samplersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
)

// zipkinSpans is where version 2 of Zipkin's API takes spans.
const zipkinSpans = "/api/v2/spans"

// reportTimeout of what is sent to a collector: a slow one holds up no request, but
// reports that wait take memory.
const reportTimeout = 5 * time.Second

// tracing of a connection manager; nil where there is none. Who comes with a decision
// keeps it: B3's and W3C's headers say whether a trace is sampled, and x-request-id
// between proxies.
func (p *packer) tracing() *hcmv3.HttpConnectionManager_Tracing {
	t := p.reporting().Tracing
	if t == nil {
		return nil
	}
	out := &hcmv3.HttpConnectionManager_Tracing{
		RandomSampling: &typev3.Percent{Value: t.Percent},
		Provider:       p.tracer(t),
	}
	if t.Collector.Type == mesh.OTLP {
		out.RandomSampling.Value = 100 // the sampler decides
	}
	for i := range t.Tags {
		out.CustomTags = append(out.CustomTags, customTag(&t.Tags[i]))
	}
	return out
}

func (p *packer) tracer(t *check.Tracing) *tracev3.Tracing_Http {
	to := t.Collector
	switch to.Type {
	case mesh.Zipkin:
		config := &tracev3.ZipkinConfig{
			CollectorCluster:         ClusterName(to.Backend),
			CollectorEndpoint:        zipkinSpans,
			CollectorHostname:        authority(to.Backend),
			CollectorEndpointVersion: tracev3.ZipkinConfig_HTTP_JSON,
			TraceId_128Bit:           true, // as W3C's are
		}
		if t.Propagation == mesh.B3AndW3C {
			config.TraceContextOption = tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION
		}
		return p.tracerOf("envoy.tracers.zipkin", config)
	case mesh.OTLP:
		return p.tracerOf("envoy.tracers.opentelemetry", &tracev3.OpenTelemetryConfig{
			GrpcService: collectorService(to), ServiceName: p.workload, Sampler: p.parentBased(t.Percent),
		})
	}
	p.fail(unknown("collector", to.Type))
	return nil
}

// parentBased keeps the decision of whoever began the trace. Without a sampler
// Envoy's own decision replaces it (Envoy 1.40).
func (p *packer) parentBased(percent float64) *corev3.TypedExtensionConfig {
	return &corev3.TypedExtensionConfig{
		Name: "envoy.tracers.opentelemetry.samplers.parent_based",
		TypedConfig: p.any(&samplersv3.ParentBasedSamplerConfig{WrappedSampler: &corev3.TypedExtensionConfig{
			Name:        "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
			TypedConfig: p.any(&samplersv3.TraceIdRatioBasedSamplerConfig{SamplingPercentage: fraction(percent)}),
		}}),
	}
}

func (p *packer) tracerOf(name string, m message) *tracev3.Tracing_Http {
	return &tracev3.Tracing_Http{Name: name, ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: p.any(m)}}
}

func customTag(t *mesh.TracingTag) *tracingv3.CustomTag {
	if t.Header != "" {
		return &tracingv3.CustomTag{Tag: t.Name, Type: &tracingv3.CustomTag_RequestHeader{
			RequestHeader: &tracingv3.CustomTag_Header{Name: t.Header, DefaultValue: t.Default}}}
	}
	return &tracingv3.CustomTag{Tag: t.Name, Type: &tracingv3.CustomTag_Literal_{
		Literal: &tracingv3.CustomTag_Literal{Value: t.Literal}}}
}

func collectorService(to *check.Collector) *corev3.GrpcService {
	return &corev3.GrpcService{
		Timeout: durationpb.New(reportTimeout),
		TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
			ClusterName: ClusterName(to.Backend), Authority: authority(to.Backend),
		}},
	}
}

// authority by which a backend's service is asked for.
func authority(b *check.Backend) string {
	name, _ := dnsName(b.Port.Service)
	return name + ":" + strconv.Itoa(int(b.Port.Number))
}

// reporter tells a packer what the listeners that it makes report, and as whom.
func reporter(w *check.Workload, side mesh.Side) packer {
	p := packer{workload: w.Key(), side: side, version: w.Version}
	if t := w.Telemetry; t != nil {
		p.reports = &t.Client
		if side == mesh.ServerSide {
			p.reports = &t.Server
		}
	}
	return p
}

func (p *packer) reporting() check.Reporting {
	if p.reports == nil {
		return check.DefaultReporting()
	}
	return *p.reports
}

// telemetryKey is what a scope depends on of a workload's telemetry: what it says,
// to which values of services, and as whom it traces.
func (g *Generator) telemetryKey(w *check.Workload) string {
	if w.Telemetry == nil {
		return ""
	}
	key := binary.AppendUvarint(nil, g.telemetry[w.Telemetry])
	for _, c := range w.Collectors() {
		key = binary.AppendUvarint(key, g.services[c.Backend.Port.Service].id)
	}
	if t := w.Telemetry.Client.Tracing; t != nil && t.Collector.Type == mesh.OTLP {
		key = append(key, w.Key()...)
	}
	return string(key)
}

// collectors are the backends that a workload reports to.
func collectors(w *check.Workload) (out []*check.Backend) {
	for _, c := range w.Collectors() {
		out = append(out, c.Backend)
	}
	return out
}

// withCollectors adds them to the backends of a scope, which are ordered by name.
func withCollectors(w *check.Workload, backends []*check.Backend) []*check.Backend {
	for _, b := range collectors(w) {
		if !slices.Contains(backends, b) {
			backends = append(backends, b)
		}
	}
	slices.SortStableFunc(backends, func(a, b *check.Backend) int { return strings.Compare(ClusterName(a), ClusterName(b)) })
	return backends
}

// numberTelemetry gives each value of the mesh an id, which is never given twice.
func (g *Generator) numberTelemetry(m *check.Mesh, previous *Generator) {
	g.telemetry = map[*check.Telemetry]uint64{}
	for _, w := range m.Workloads() {
		t := w.Telemetry
		if t == nil || g.telemetry[t] != 0 {
			continue
		}
		if g.telemetry[t] = previous.telemetry[t]; g.telemetry[t] == 0 {
			g.nextID++
			g.telemetry[t] = g.nextID
		}
	}
}
