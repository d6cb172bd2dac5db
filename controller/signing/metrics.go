package signing

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var (
	signatures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mesh_sign_signatures_total", Help: "Releases that were signed, renewals among them.",
	})
	failures = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mesh_sign_failures_total", Help: "Releases that were not signed, by reason.",
	}, []string{"reason"})
	sequence = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "mesh_sign_sequence", Help: "Sequence number that this replica signed last.",
	})
	expires = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "mesh_sign_expiry_timestamp_seconds", Help: "When the signature that this replica made last ends.",
	})
)

// RegisterMetrics adds the metrics of this role to those that the manager serves.
func RegisterMetrics(to metrics.RegistererGatherer) error {
	for _, c := range []prometheus.Collector{signatures, failures, sequence, expires} {
		if err := to.Register(c); err != nil {
			return err
		}
	}
	return nil
}
