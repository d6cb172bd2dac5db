package kubernetes

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Metrics counts and times requests for certificates. It is a prometheus.Collector.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
	rootEnds prometheus.Gauge
}

// NewMetrics returns the metrics of the ca role, whose X.509 root ends at some time.
func NewMetrics(rootEnds time.Time) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mesh_ca_requests_total", Help: "Requests for certificates, by gRPC code of the answer.",
		}, []string{"code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mesh_ca_request_seconds", Help: "Time that requests take, the API server's review of the token included.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 12),
		}),
		rootEnds: prometheus.NewGauge(prometheus.GaugeOpts{Name: "mesh_ca_root_expiry_timestamp_seconds", Help: "When the X.509 root ends."}),
	}
	m.rootEnds.Set(float64(rootEnds.Unix()))
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.requests.Describe(ch)
	m.seconds.Describe(ch)
	m.rootEnds.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.requests.Collect(ch)
	m.seconds.Collect(ch)
	m.rootEnds.Collect(ch)
}

// Observe is a grpc.UnaryServerInterceptor.
func (m *Metrics) Observe(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	begun := time.Now()
	answer, err := handle(ctx, request)
	m.requests.WithLabelValues(status.Code(err).String()).Inc()
	m.seconds.Observe(time.Since(begun).Seconds())
	return answer, err
}
