package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/mesh-compile/mesh-compile/agent/endpoints"
	"github.com/mesh-compile/mesh-compile/agent/envoy"
	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/agent/xds"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// status is what the loops note for whoever asks; the agent's lock guards it.
type status struct {
	Connected       bool
	ControllerError string
	IdentityError   string
	State           string // of the newest update: applied, rejected, refused
	Code, Words     string
	Refusals        map[string]uint64 // by code
	Applied         uint64
	Rejected        uint64
	Alarms          []string
	Drift           []string
	Files           []string // what is wrong with certificates of gateways
	Compared        time.Time
}

func (s *status) refused(code, words string) {
	if s.Refusals == nil {
		s.Refusals = map[string]uint64{}
	}
	s.Refusals[code]++
	s.State, s.Code, s.Words = "refused", code, words
}

func (s *status) told(r *verify.Release, state deliveryv1.ReportRequest_State, words string) {
	s.State, s.Code, s.Words = "applied", "", ""
	s.Applied++
	if state == deliveryv1.ReportRequest_STATE_REJECTED {
		s.State, s.Code, s.Words = "rejected", "envoy-refused", words
		s.Applied--
		s.Rejected++
	}
	s.Alarms = nil
	for _, alarm := range r.Alarms {
		s.Alarms = append(s.Alarms, string(alarm))
	}
}

// Status is the page /status.
type Status struct {
	Version     int    `json:"version"` // of this document
	Workload    string `json:"workload"`
	Instance    string `json:"instance"`
	SPIFFEID    string `json:"spiffeId,omitempty"`
	Sequence    uint64 `json:"sequence"` // of the release that Envoy runs
	Release     string `json:"release,omitempty"`
	Mark        uint64 `json:"highWaterMark"`
	Ready       bool   `json:"ready"`
	Waiting     string `json:"waiting,omitempty"` // what for, when not ready
	State       string `json:"state,omitempty"`   // of the newest update
	Code        string `json:"code,omitempty"`
	Error       string `json:"error,omitempty"`
	Controller  string `json:"controller,omitempty"`
	Connected   bool   `json:"connected"`
	LastLoss    string `json:"lastLoss,omitempty"`
	Certificate struct {
		Until time.Time `json:"until,omitzero"`
		Error string    `json:"error,omitempty"`
	} `json:"certificate"`
	Envoy struct {
		envoy.State
		Version string `json:"version"`
	} `json:"envoy"`
	Alarms []string `json:"alarms,omitempty"`
	// Drift is how what Envoy runs differs from the release.
	Drift []string `json:"drift,omitempty"`
	// Files is what is wrong with certificates of gateways.
	Files []string `json:"files,omitempty"`
	// Compared is when it was looked at last.
	Compared  time.Time                   `json:"compared,omitzero"`
	Refusals  map[string]uint64           `json:"refusals,omitempty"`
	Applied   uint64                      `json:"applied"`
	Rejected  uint64                      `json:"rejected"`
	Endpoints map[endpoints.Reason]uint64 `json:"endpointsDropped,omitempty"`
	XDS       map[string]xds.Counts       `json:"xds"`
}

// currentStatus collects the page.
func (a *Agent) currentStatus(ctx context.Context) Status {
	out := Status{
		Version: 1, Workload: a.config.Workload, Instance: a.config.Instance, Controller: a.config.Controller,
		Endpoints: a.book.Dropped(), XDS: a.xds.Counts(), Mark: a.store.State().Mark.Sequence,
	}
	out.Envoy.State, out.Envoy.Version = a.envoy.State(), a.envoyVersion
	a.view(func() {
		s := a.status
		out.Connected, out.LastLoss, out.Certificate.Error = s.Connected, s.ControllerError, s.IdentityError
		out.State, out.Code, out.Error = s.State, s.Code, s.Words
		out.Applied, out.Rejected, out.Alarms = s.Applied, s.Rejected, s.Alarms
		out.Drift, out.Files, out.Compared = s.Drift, s.Files, s.Compared
		out.Refusals = map[string]uint64{}
		for code, n := range s.Refusals {
			out.Refusals[code] = n
		}
		if c := a.credential; c != nil {
			out.SPIFFEID, out.Certificate.Until = c.SPIFFEID, c.Leaf.NotAfter
		}
		if a.active != nil {
			out.Sequence, out.Release = a.active.Release.Sequence, a.active.Digest.String()
		}
	})
	out.Waiting = a.waiting(ctx, out)
	out.Ready = out.Waiting == ""
	return out
}

// waiting says what keeps the proxy from taking traffic. Envoy is live when its
// first listeners are warm.
func (a *Agent) waiting(ctx context.Context, s Status) string {
	switch {
	case s.SPIFFEID == "":
		return "no certificate yet: " + s.Certificate.Error
	case time.Now().After(s.Certificate.Until):
		return "the certificate has expired: " + s.Certificate.Error
	case s.Release == "":
		return "no release yet: " + s.Error + s.LastLoss
	case s.Envoy.Phase != envoy.PhaseRunning:
		return "envoy is " + s.Envoy.Phase
	case !a.xds.Connected():
		return "envoy is not connected yet"
	}
	switch info, err := a.envoy.Admin().Info(ctx); {
	case err != nil:
		return err.Error()
	case info.State != "LIVE":
		return "envoy is " + info.State
	}
	return ""
}

// serveStatus serves /healthz, /readyz, /status, /decisions and /metrics.
func (a *Agent) serveStatus(ctx context.Context) error {
	if a.config.StatusAddress == "" {
		return nil
	}
	l, err := net.Listen("tcp", a.config.StatusAddress)
	if err != nil {
		return fmt.Errorf("serving status: %w", err)
	}
	server := &http.Server{
		Handler: a.statusPages(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); ctx.Err() == nil {
		return fmt.Errorf("serving status: %w", err)
	}
	return nil
}

// maxScrapes bounds the pages of metrics under way: Envoy's are megabytes, and
// whoever reaches the port may ask. Probes are small, and never wait for them.
const maxScrapes = 4

func (a *Agent) statusPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s := a.currentStatus(r.Context()); !s.Ready {
			http.Error(w, s.Waiting, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, a.currentStatus(r.Context()))
	})
	mux.HandleFunc("GET /decisions", local(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.authz.Decisions()) }))
	mux.HandleFunc("GET /metrics", atMost(maxScrapes, a.serveMetrics))
	return mux
}

// atMost lets n requests through at a time; the others wait until they give up.
func atMost(n int, next http.HandlerFunc) http.HandlerFunc {
	places := make(chan struct{}, n)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next(w, r)
		case <-r.Context().Done():
		}
	}
}

// local refuses callers from elsewhere: who called whom, and by which path, is
// not for the network, which the other pages are for.
func local(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "decisions are told to this machine alone", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(v) //nolint:errcheck // the caller has gone
}
