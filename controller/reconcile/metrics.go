package reconcile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// Metrics of the role: numbers without labels of a stranger's making.
type Metrics struct {
	compile          prometheus.Histogram
	errors, warnings prometheus.Gauge
}

// NewMetrics returns metrics that nobody collects yet.
func NewMetrics() *Metrics {
	return &Metrics{
		compile: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mesh_compile_seconds", Help: "Time to compile the policies.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
		}),
		errors:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "mesh_policies_errors", Help: "Errors in the policies that were compiled last."}),
		warnings: prometheus.NewGauge(prometheus.GaugeOpts{Name: "mesh_policies_warnings", Help: "Warnings in the policies that were compiled last."}),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, c) }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	for _, each := range []prometheus.Collector{m.compile, m.errors, m.warnings} {
		each.Collect(c)
	}
}

func (m *Metrics) compiled(took time.Duration) { m.compile.Observe(took.Seconds()) }

func (m *Metrics) found(s *v1alpha1.DiagnosticsSummary) {
	m.errors.Set(float64(s.Errors))
	m.warnings.Set(float64(s.Warnings))
}
