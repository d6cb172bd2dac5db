package follow

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mesh-compile/mesh-compile/controller/endpoints"
)

// Metrics are what a replica serves and what agents say to it. Those that a
// controller without Kubernetes has too are called as there.
type Metrics struct {
	Follower *Follower
	Table    *endpoints.Table
}

// metric is a number without labels.
type metric struct {
	*prometheus.Desc
	kind  prometheus.ValueType
	value func(*reading) float64
}

// reading is the state at one time.
type reading struct {
	Status
	watching                int64
	current, behind, failed int
	clusters                int
}

var metrics = []metric{
	gauge("mesh_release_sequence", "Sequence number of the live release, 0 without one.", func(r *reading) float64 { return float64(r.Sequence) }),
	gauge("mesh_release_fallback_sequence", "Sequence number that workloads get which the rollout has not reached, 0 where it has reached all.", func(r *reading) float64 { return float64(r.Fallback) }),
	gauge("mesh_release_expires_seconds", "When the live release expires, Unix time.", func(r *reading) float64 {
		if r.Sequence == 0 {
			return 0
		}
		return float64(r.Expires.Unix())
	}),
	gauge("mesh_release_behind", "1 while a newer release cannot be served.", func(r *reading) float64 {
		if r.Behind != "" {
			return 1
		}
		return 0
	}),
	gauge("mesh_agents_watching", "Agents that watch releases.", func(r *reading) float64 { return float64(r.watching) }),
	gauge("mesh_proxies_current", "Proxies that run the live release.", func(r *reading) float64 { return float64(r.current) }),
	gauge("mesh_proxies_behind", "Proxies that run an earlier release.", func(r *reading) float64 { return float64(r.behind) }),
	gauge("mesh_proxies_failed", "Proxies that refused or rejected a release.", func(r *reading) float64 { return float64(r.failed) }),
	gauge("mesh_endpoint_clusters", "Clusters whose endpoints are known.", func(r *reading) float64 { return float64(r.clusters) }),
}

func gauge(name, help string, value func(*reading) float64) metric {
	return metric{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, value}
}

// Describe implements prometheus.Collector.
func (m Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range metrics {
		out <- d.Desc
	}
}

// Collect implements prometheus.Collector.
func (m Metrics) Collect(out chan<- prometheus.Metric) {
	r := m.read()
	for _, d := range metrics {
		out <- prometheus.MustNewConstMetric(d.Desc, d.kind, d.value(&r))
	}
}

func (m Metrics) read() reading {
	r := reading{Status: m.Follower.Status(), watching: m.Follower.opt.Deliver.Watchers(), clusters: m.Table.Len()}
	for _, p := range m.Follower.opt.Deliver.Fleet() {
		switch {
		case p.State != "applied":
			r.failed++
		case r.Sequence != 0 && p.Sequence == r.Sequence:
			r.current++
		default:
			r.behind++
		}
	}
	return r
}
