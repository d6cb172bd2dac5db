package webhook

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mesh-compile/mesh-compile/compiler/dialect"
	"github.com/mesh-compile/mesh-compile/controller/admission"
)

// Metrics of the role: numbers whose labels are modes, API groups that the compiler
// reads and its codes, nothing of a stranger's making. It is a prometheus.Collector.
type Metrics struct {
	reviews     *prometheus.CounterVec
	seconds     prometheus.Histogram
	findings    *prometheus.CounterVec
	breakGlass  *prometheus.CounterVec
	expiry      prometheus.Gauge
	failsClosed prometheus.Gauge
	reached     prometheus.Gauge
}

// NewMetrics returns metrics that nobody collects yet.
func NewMetrics() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return &Metrics{
		reviews: counter("mesh_admit_reviews_total", "Reviews, by verdict (allowed, refused, tolerated: admitted by the mode of the namespace, failed: no verdict), mode and API group.", "verdict", "mode", "group"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mesh_admit_review_seconds", Help: "Time that reviews take.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		findings:    counter("mesh_admit_findings_total", "Findings of reviews, by code.", "code"),
		breakGlass:  counter("mesh_admit_break_glass_total", "Writes that were not judged, by reason (user: a member of the group, namespace: its label).", "by"),
		expiry:      gauge("mesh_admit_certificate_expiry_timestamp_seconds", "When the certificate ends that the API server is shown."),
		failsClosed: gauge("mesh_admit_fails_closed", "Whether writes are refused while no replica answers (1) or admitted (0), as the leader wrote it."),
		reached:     gauge("mesh_admit_reached", "Whether the API server reached a replica when the leader last tried."),
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.reviews, m.seconds, m.findings, m.breakGlass, m.expiry, m.failsClosed, m.reached}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) {
	for _, each := range m.all() {
		each.Describe(c)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	for _, each := range m.all() {
		each.Collect(c)
	}
}

// reviewed counts a review, whose verdict is nothing where there is an error.
func (m *Metrics) reviewed(group, mode string, v admission.Verdict, err error, took time.Duration) {
	if !slices.Contains(dialect.Groups(), group) {
		group = "other"
	}
	verdict := "allowed"
	switch {
	case err != nil:
		verdict = "failed"
	case !v.Allowed && mode == Enforce:
		verdict = "refused"
	case !v.Allowed:
		verdict = "tolerated"
	}
	m.reviews.WithLabelValues(verdict, mode, group).Inc()
	m.seconds.Observe(took.Seconds())
	for _, f := range v.Findings {
		m.findings.WithLabelValues(f.Code).Inc()
	}
}

// Serving says when the certificate ends.
func (m *Metrics) Serving(expires time.Time) { m.expiry.Set(float64(expires.Unix())) }

// Kept says what the leader wrote, and whether the API server reached a replica.
func (m *Metrics) Kept(failsClosed, reached bool) {
	m.failsClosed.Set(number(failsClosed))
	m.reached.Set(number(reached))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
