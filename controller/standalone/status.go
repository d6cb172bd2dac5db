package standalone

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
	"github.com/mesh-compile/mesh-compile/controller/signer"
)

// Status is what GET /status answers.
type Status struct {
	Version int    `json:"version"` // 1
	Mesh    string `json:"mesh"`
	// Live is the release that agents are served; nil where there is none.
	Live   *LiveStatus  `json:"live"`
	Source SourceStatus `json:"source"`
	// Refused is why the newest revision is not live; nil where it is.
	Refused *RefusedStatus `json:"refused"`
	// Fleet is what each proxy said last of itself.
	Fleet FleetStatus `json:"fleet"`
}

// LiveStatus is the live release.
type LiveStatus struct {
	Sequence  uint64          `json:"sequence"`
	Digest    artifact.Digest `json:"digest"`  // of the signed document
	Content   artifact.Digest `json:"content"` // of what it signs
	Commit    string          `json:"commit,omitempty"`
	IssuedAt  time.Time       `json:"issuedAt"`
	ExpiresAt time.Time       `json:"expiresAt"`
	Workloads int             `json:"workloads"`
}

// SourceStatus is the policy repository.
type SourceStatus struct {
	Path string `json:"path"`
	// Commit was the newest when it was last looked at; git only.
	Commit     string    `json:"commit,omitempty"`
	CompiledAt time.Time `json:"compiledAt,omitzero"`
	Millis     float64   `json:"milliseconds,omitempty"` // of the last successful compilation
	Warnings   int       `json:"warnings"`
}

// RefusedStatus is a revision that is not live.
type RefusedStatus struct {
	At          time.Time `json:"at"`
	Commit      string    `json:"commit,omitempty"`
	Message     string    `json:"message"`
	Diagnostics string    `json:"diagnostics,omitempty"` // as lint prints them
}

// FleetStatus counts proxies by what they run, and lists them.
type FleetStatus struct {
	Watching int64                `json:"watching"`
	Current  int                  `json:"current"` // run the live release
	Behind   int                  `json:"behind"`
	Failed   int                  `json:"failed"`  // refused or rejected a release
	Drifted  int                  `json:"drifted"` // run something else than what they verified
	Proxies  []deliver.ProxyState `json:"proxies"`
}

// record collects what the controller has to say.
type record struct {
	mu       sync.Mutex
	now      Status
	updates  uint64 // revisions made live or found unchanged
	refusals uint64
}

func (s *record) publish(l *signer.Signed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Live = &LiveStatus{
		Sequence: l.Doc.Sequence, Digest: l.Digest, Content: l.Doc.ContentDigest, Commit: l.Doc.Source.Commit,
		IssuedAt: l.Doc.IssuedAt.Time, ExpiresAt: l.Doc.ExpiresAt.Time, Workloads: len(l.Release.Leaves()),
	}
}

func (s *record) accept(commit string, found diag.List, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates++
	s.now.Refused = nil
	s.now.Source.Commit, s.now.Source.CompiledAt = commit, time.Now().UTC()
	s.now.Source.Millis = float64(took.Microseconds()) / 1000
	s.now.Source.Warnings = found.Count(diag.Warning)
}

func (s *record) refuse(commit string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals++
	r := &RefusedStatus{At: time.Now().UTC(), Commit: commit, Message: err.Error()}
	var why *refusal
	if errors.As(err, &why) {
		r.Diagnostics = why.diagnostics
	}
	s.now.Refused = r
	if commit != "" {
		s.now.Source.Commit = commit
	}
}

// snapshot returns the status with the fleet as it is now.
func (s *record) snapshot(d *deliver.Server) Status {
	s.mu.Lock()
	out := s.now
	s.mu.Unlock()
	out.Fleet = FleetStatus{Watching: d.Watchers(), Proxies: d.Fleet()}
	for _, p := range out.Fleet.Proxies {
		if p.Drift != "" {
			out.Fleet.Drifted++
		}
		switch {
		case p.State != "applied":
			out.Fleet.Failed++
		case out.Live != nil && p.Sequence == out.Live.Sequence:
			out.Fleet.Current++
		default:
			out.Fleet.Behind++
		}
	}
	return out
}

// handler serves the status to people, probes and Prometheus. It only reads.
func (c *controller) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if c.serving.Load() == nil {
			http.Error(w, "no release is live: see /status", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		_ = enc.Encode(c.status.snapshot(c.deliver)) // the client is gone
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, c.metrics())
	})
	return mux
}

// metrics renders the Prometheus text format: numbers without labels of a
// stranger's making.
func (c *controller) metrics() string {
	now := c.status.snapshot(c.deliver)
	c.status.mu.Lock()
	updates, refusals := c.status.updates, c.status.refusals
	c.status.mu.Unlock()
	var sequence, expires float64
	if now.Live != nil {
		sequence, expires = float64(now.Live.Sequence), float64(now.Live.ExpiresAt.Unix())
	}
	refused := 0.0
	if now.Refused != nil {
		refused = 1
	}
	metrics := []struct {
		name, kind, help string
		value            float64
	}{
		{"mesh_release_sequence", "gauge", "Sequence number of the live release, 0 without one.", sequence},
		{"mesh_release_expires_seconds", "gauge", "When the live release expires, Unix time.", expires},
		{"mesh_policies_refused", "gauge", "1 while the newest policies are refused and an earlier release is live.", refused},
		{"mesh_updates_total", "counter", "Revisions of the policies that were taken.", float64(updates)},
		{"mesh_refusals_total", "counter", "Revisions of the policies that were refused.", float64(refusals)},
		{"mesh_compile_seconds", "gauge", "Time from reading the last revision that was taken to its release.", now.Source.Millis / 1000},
		{"mesh_agents_watching", "gauge", "Agents that watch releases.", float64(now.Fleet.Watching)},
		{"mesh_proxies_current", "gauge", "Proxies that run the live release.", float64(now.Fleet.Current)},
		{"mesh_proxies_behind", "gauge", "Proxies that run an earlier release.", float64(now.Fleet.Behind)},
		{"mesh_proxies_failed", "gauge", "Proxies that refused or rejected a release.", float64(now.Fleet.Failed)},
		{"mesh_proxies_drifted", "gauge", "Proxies that run something else than what they verified.", float64(now.Fleet.Drifted)},
		{"mesh_endpoint_clusters", "gauge", "Clusters whose endpoints are known.", float64(c.table.Len())},
	}
	var b strings.Builder
	for _, m := range slices.Clip(metrics) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s %g\n", m.name, m.help, m.name, m.kind, m.name, m.value)
	}
	return b.String()
}
