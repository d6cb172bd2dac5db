package agent

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
)

// serveMetrics writes the agent's metrics in Prometheus' text format, and then
// Envoy's, so that one address is scraped for a proxy.
func (a *Agent) serveMetrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	s := a.currentStatus(r.Context())
	metric(w, "release_sequence", "gauge", "Sequence of the release that Envoy runs.", s.Sequence)
	metric(w, "high_water_mark", "gauge", "Highest sequence that was verified.", s.Mark)
	metric(w, "releases_applied_total", "counter", "Releases that Envoy took.", s.Applied)
	metric(w, "releases_rejected_total", "counter", "Releases that Envoy did not take.", s.Rejected)
	metric(w, "envoy_restarts_total", "counter", "Times that Envoy ended by itself.", uint64(s.Envoy.Restarts))
	metric(w, "certificate_expiry_seconds", "gauge", "When the certificate expires, Unix time.", uint64(max(0, s.Certificate.Until.Unix())))
	metric(w, "ready", "gauge", "1 when the proxy takes traffic.", number(s.Ready))
	metric(w, "controller_connected", "gauge", "1 while the controller is there.", number(s.Connected))
	metric(w, "drift", "gauge", "Differences between what Envoy runs and the release.", uint64(len(s.Drift)))
	family(w, "updates_refused_total", "counter", "Updates that verification refused, by code.", "code", s.Refusals)
	dropped := map[string]uint64{}
	for reason, n := range s.Endpoints {
		dropped[string(reason)] = n
	}
	family(w, "endpoints_dropped_total", "counter", "Endpoints that were dropped or changed, by reason.", "reason", dropped)
	refused := map[string]uint64{}
	for typeURL, n := range s.XDS {
		refused[typeURL] = n.Refused
	}
	family(w, "xds_refused_total", "counter", "Responses that Envoy refused, by type.", "type", refused)
	decided := a.authz.Counts()
	family(w, "authz_decisions_total", "counter", "Decisions of OPA.", "decision",
		map[string]uint64{"allow": decided.Allowed, "deny": decided.Denied, "error": decided.Failed})
	if page, err := a.envoy.Admin().Get(r.Context(), "/stats/prometheus"); err == nil {
		w.Write(page) //nolint:errcheck // the caller has gone
	}
}

const prefix = "mesh_agent_"

func metric(w io.Writer, name, kind, help string, value uint64) {
	fmt.Fprintf(w, "# HELP %s%s %s\n# TYPE %[1]s%[2]s %[4]s\n%[1]s%[2]s %[5]d\n", prefix, name, help, kind, value)
}

func family(w io.Writer, name, kind, help, label string, values map[string]uint64) {
	fmt.Fprintf(w, "# HELP %s%s %s\n# TYPE %[1]s%[2]s %[4]s\n", prefix, name, help, kind)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(w, "%s%s{%s=%q} %d\n", prefix, name, label, key, values[key])
	}
}

func number(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
