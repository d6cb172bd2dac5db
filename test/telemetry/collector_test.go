package telemetry_test

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"testing"

	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// collector receives OpenTelemetry's protocol over gRPC.
type collector struct {
	tracev1.UnimplementedTraceServiceServer
	logsv1.UnimplementedLogsServiceServer
	address string

	mu      sync.Mutex
	traced  []span
	records []map[string]string // attributes of log records, and "cluster_name" of the resource
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	listener, err := net.Listen("tcp", envoytest.Loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{address: listener.Addr().String()}
	server := grpc.NewServer()
	tracev1.RegisterTraceServiceServer(server, c)
	logsv1.RegisterLogsServiceServer(server, logs{c})
	go server.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(server.Stop)
	return c
}

// Export takes spans.
func (c *collector) Export(_ context.Context, r *tracev1.ExportTraceServiceRequest) (*tracev1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		service := attributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.traced = append(c.traced, span{
					trace: hex.EncodeToString(s.GetTraceId()), id: hex.EncodeToString(s.GetSpanId()),
					parent: hex.EncodeToString(s.GetParentSpanId()),
					kind:   strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"), service: service,
					tags: attributes(s.GetAttributes()),
				})
			}
		}
	}
	return &tracev1.ExportTraceServiceResponse{}, nil
}

func (c *collector) spans() []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]span(nil), c.traced...)
}

func (c *collector) logged() []map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]map[string]string(nil), c.records...)
}

// logs takes log records for a collector.
type logs struct{ *collector }

func (l logs) Export(_ context.Context, r *logsv1.ExportLogsServiceRequest) (*logsv1.ExportLogsServiceResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, resource := range r.GetResourceLogs() {
		workload := attributes(resource.GetResource().GetAttributes())["cluster_name"]
		for _, scope := range resource.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				fields := attributes(record.GetAttributes())
				fields["cluster_name"] = workload
				l.records = append(l.records, fields)
			}
		}
	}
	return &logsv1.ExportLogsServiceResponse{}, nil
}

func attributes(list []*commonv1.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		out[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return out
}
