package deliver

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// ProxyState is what one proxy said last of itself.
type ProxyState struct {
	Identity string `json:"identity"`
	Workload string `json:"workload"`
	Instance string `json:"instance"`
	// Sequence and ReleaseDigest are of the release that State is about, and Running
	// and RunningDigest of the one that Envoy runs.
	Sequence      uint64          `json:"sequence"`
	ReleaseDigest artifact.Digest `json:"releaseDigest,omitzero"`
	Running       uint64          `json:"running"`
	RunningDigest artifact.Digest `json:"runningDigest,omitzero"`
	Applied       time.Time       `json:"applied,omitzero"` // when Envoy took that
	State         string          `json:"state"`            // StateApplied and so on
	Error         string          `json:"error,omitempty"`
	Code          string          `json:"code,omitempty"`
	// Drift says how what Envoy runs differs from what was verified.
	Drift       string          `json:"drift,omitempty"`
	TrustBundle artifact.Digest `json:"trustBundle,omitzero"`
	Agent       string          `json:"agent,omitempty"` // versions
	Envoy       string          `json:"envoy,omitempty"`
	Reported    time.Time       `json:"reported"`
	// Connected reports whether it watches releases now, Left when it ended to.
	Connected bool      `json:"connected"`
	Left      time.Time `json:"left,omitzero"`
}

// The values of ProxyState.State.
const (
	StateApplied  = "applied"
	StateRejected = "rejected" // by Envoy
	StateRefused  = "refused"  // by verification
)

// maxInstances is how many proxies of one workload are remembered: an identity
// cannot push out the reports of another's.
const maxInstances = 4096

// maxVersion bounds the version of a program.
const maxVersion = 64

// keepGone is how long a proxy that does not watch any more is remembered.
const keepGone = 10 * time.Minute

// fleet holds the last report of each proxy.
type fleet struct {
	watchers atomic.Int64
	version  atomic.Uint64 // counts changes

	mu       sync.Mutex
	byKey    map[artifact.Key]map[string]ProxyState // by instance
	watching map[proxyKey]int                       // open streams
	words    map[artifact.Key]*rate.Limiter         // of the log
}

// proxyKey names a proxy.
type proxyKey struct {
	artifact.Key
	instance string
}

// enter notes a stream of a proxy until the returned function is called.
func (f *fleet) enter(k artifact.Key, instance string) (leave func()) {
	w := proxyKey{k, clip(instance, maxName)}
	f.watchers.Add(1)
	f.count(w, 1)
	return func() {
		f.watchers.Add(-1)
		f.count(w, -1)
	}
}

// count adds to the streams of a proxy.
func (f *fleet) count(w proxyKey, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version.Add(1)
	if f.watching == nil {
		f.watching = map[proxyKey]int{}
	}
	if f.watching[w] += n; f.watching[w] == 0 {
		delete(f.watching, w)
	}
	if p, known := f.byKey[w.Key][w.instance]; known {
		f.byKey[w.Key][w.instance] = f.attended(p)
	}
}

// attended returns p with what its streams say of it; the lock is held.
func (f *fleet) attended(p ProxyState) ProxyState {
	watches := f.watching[proxyKey{artifact.Key{SPIFFEID: p.Identity, Workload: p.Workload}, p.Instance}] > 0
	switch {
	case watches:
		p.Left = time.Time{}
	case p.Connected:
		p.Left = time.Now().UTC()
	}
	p.Connected = watches
	return p
}

// Reports of one workload that go to the log: a proxy in a loop, or a hostile
// one, does not fill the disk.
const wordsRate, wordsBurst = 1, 100

// loud reports whether there is room in the log for a report of the workload.
func (f *fleet) loud(k artifact.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.words == nil {
		f.words = map[artifact.Key]*rate.Limiter{}
	}
	if f.words[k] == nil {
		f.words[k] = rate.NewLimiter(wordsRate, wordsBurst)
	}
	return f.words[k].Allow()
}

func (f *fleet) put(k artifact.Key, p ProxyState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey == nil {
		f.byKey = map[artifact.Key]map[string]ProxyState{}
	}
	proxies := f.byKey[k]
	if proxies == nil {
		proxies = map[string]ProxyState{}
		f.byKey[k] = proxies
	}
	before, known := proxies[p.Instance]
	if !known && len(proxies) >= maxInstances {
		delete(proxies, oldest(proxies))
	}
	p.Connected, p.Left = before.Connected, before.Left
	proxies[p.Instance] = f.attended(p)
	f.version.Add(1)
}

// forget drops the proxies that left a while before now; the lock is held.
func (f *fleet) forget(now time.Time) {
	for _, proxies := range f.byKey {
		for name, p := range proxies {
			if !p.Left.IsZero() && now.Sub(p.Left) > keepGone {
				delete(proxies, name)
				f.version.Add(1)
			}
		}
	}
}

// oldest names the proxy that is given up first: one that is gone, and of those the
// one that spoke first.
func oldest(proxies map[string]ProxyState) string {
	var name string
	var first ProxyState
	for n, p := range proxies {
		before := p.Reported.Before(first.Reported)
		if p.Connected != first.Connected {
			before = first.Connected
		}
		if name == "" || before {
			name, first = n, p
		}
	}
	return name
}

// keep drops the reports of workloads that no release has any more.
func (f *fleet) keep(rs releases) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.byKey {
		if !slices.ContainsFunc(rs, func(p *published) bool { _, _, ok := p.Lookup(k); return ok }) {
			delete(f.byKey, k)
			delete(f.words, k)
			f.version.Add(1)
		}
	}
}

func (f *fleet) list() []ProxyState {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(time.Now())
	out := []ProxyState{}
	for _, proxies := range f.byKey {
		for _, p := range proxies {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b ProxyState) int {
		return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.Instance, b.Instance))
	})
	return out
}

var stateNames = map[deliveryv1.ReportRequest_State]string{
	deliveryv1.ReportRequest_STATE_APPLIED:  StateApplied,
	deliveryv1.ReportRequest_STATE_REJECTED: StateRejected,
	deliveryv1.ReportRequest_STATE_REFUSED:  StateRefused,
}

// Report implements deliveryv1.DeliveryServer.
func (s *Server) Report(ctx context.Context, r *deliveryv1.ReportRequest) (*deliveryv1.ReportResponse, error) {
	p, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	k, err := key(p, r.GetWorkload())
	if err != nil {
		return nil, err
	}
	state, err := proxyState(k, r)
	if err != nil {
		return nil, err
	}
	now := s.current()
	if now.live() == nil {
		return nil, status.Error(codes.Unavailable, "the controller has no release yet")
	}
	if err := now.check(k); err != nil {
		return nil, err
	}
	s.fleet.put(k, state)
	s.log(k, state)
	return &deliveryv1.ReportResponse{}, nil
}

// log tells of a proxy that does not run what it is to run.
func (s *Server) log(k artifact.Key, p ProxyState) {
	if p.State == StateApplied && p.Drift == "" || !s.fleet.loud(k) {
		return
	}
	log := s.opt.Log.With("workload", k.Workload, "instance", p.Instance, "sequence", p.Sequence)
	if p.State != StateApplied {
		log.Warn("proxy keeps an earlier release", "state", p.State, "code", p.Code, "error", p.Error)
	}
	if p.Drift != "" {
		log.Warn("proxy runs something else than what it verified", "drift", p.Drift)
	}
}

// FleetVersion changes whenever what [Server.Fleet] returns may have.
func (s *Server) FleetVersion() uint64 { return s.fleet.version.Load() }

func proxyState(k artifact.Key, r *deliveryv1.ReportRequest) (ProxyState, error) {
	name, known := stateNames[r.GetState()]
	if !known {
		return ProxyState{}, status.Errorf(codes.InvalidArgument, "unknown state %d", r.GetState())
	}
	p := ProxyState{
		Identity: k.SPIFFEID, Workload: k.Workload, Instance: clip(r.GetInstance(), maxName),
		Sequence: r.GetSequence(), State: name, Reported: time.Now().UTC(),
		Error: clip(r.GetError(), maxErrorText), Code: clip(r.GetCode(), maxName), Drift: clip(r.GetDrift(), maxErrorText),
		Running: r.GetRunningSequence(), Agent: clip(r.GetAgentVersion(), maxVersion), Envoy: clip(r.GetEnvoyVersion(), maxVersion),
	}
	if at := r.GetAppliedAt(); at.IsValid() {
		p.Applied = at.AsTime()
	}
	for _, d := range []struct {
		from []byte
		to   *artifact.Digest
	}{{r.GetReleaseDigest(), &p.ReleaseDigest}, {r.GetTrustBundle(), &p.TrustBundle}, {r.GetRunningDigest(), &p.RunningDigest}} {
		if len(d.from) != 0 && len(d.from) != len(d.to) {
			return ProxyState{}, status.Errorf(codes.InvalidArgument, "a digest of %d bytes, want %d", len(d.from), len(d.to))
		}
		copy(d.to[:], d.from)
	}
	return p, nil
}

// clip cuts text to n bytes of valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
