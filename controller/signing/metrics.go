package signing

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mesh-compile/mesh-compile/controller/signer"
)

// Metrics says what was signed. It is a prometheus.Collector.
type Metrics struct {
	signatures prometheus.Counter
	failures   *prometheus.CounterVec
	sequence   prometheus.Gauge
	expires    prometheus.Gauge
}

// NewMetrics returns the metrics of the sign role.
func NewMetrics() *Metrics {
	return &Metrics{
		signatures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mesh_sign_signatures_total", Help: "Releases that were signed, renewals among them.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mesh_sign_failures_total", Help: "Releases that were not signed, by reason.",
		}, []string{"reason"}),
		sequence: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mesh_sign_sequence", Help: "Sequence number that this replica signed last.",
		}),
		expires: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mesh_sign_expiry_timestamp_seconds", Help: "When the signature that this replica made last ends.",
		}),
	}
}

func (m *Metrics) signed(s *signer.Signed) {
	m.signatures.Inc()
	m.sequence.Set(float64(s.Doc.Sequence))
	m.expires.Set(float64(s.Doc.ExpiresAt.Unix()))
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.signatures, m.failures, m.sequence, m.expires}
}
