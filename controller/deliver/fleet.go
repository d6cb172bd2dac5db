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
	Identity      string          `json:"identity"`
	Workload      string          `json:"workload"`
	Instance      string          `json:"instance"`
	Sequence      uint64          `json:"sequence"`
	ReleaseDigest artifact.Digest `json:"releaseDigest,omitzero"`
	State         string          `json:"state"` // applied, rejected, refused
	Error         string          `json:"error,omitempty"`
	Code          string          `json:"code,omitempty"`
	TrustBundle   artifact.Digest `json:"trustBundle,omitzero"`
	Reported      time.Time       `json:"reported"`
}

// maxInstances is how many proxies of one workload are remembered: an identity
// cannot push out the reports of another's.
const maxInstances = 4096

// fleet holds the last report of each proxy.
type fleet struct {
	watchers atomic.Int64

	mu    sync.Mutex
	byKey map[artifact.Key]map[string]ProxyState // by instance
	words map[artifact.Key]*rate.Limiter         // of the log
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
	if _, known := proxies[p.Instance]; !known && len(proxies) >= maxInstances {
		delete(proxies, oldest(proxies))
	}
	proxies[p.Instance] = p
}

func oldest(proxies map[string]ProxyState) string {
	var name string
	var at time.Time
	for n, p := range proxies {
		if name == "" || p.Reported.Before(at) {
			name, at = n, p.Reported
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
		}
	}
}

func (f *fleet) list() []ProxyState {
	f.mu.Lock()
	defer f.mu.Unlock()
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
	deliveryv1.ReportRequest_STATE_APPLIED:  "applied",
	deliveryv1.ReportRequest_STATE_REJECTED: "rejected",
	deliveryv1.ReportRequest_STATE_REFUSED:  "refused",
}

// Report implements deliveryv1.DeliveryServer.
func (s *Server) Report(ctx context.Context, r *deliveryv1.ReportRequest) (*deliveryv1.ReportResponse, error) {
	p, err := caller(ctx)
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
	live := s.current().live()
	if live == nil {
		return nil, status.Error(codes.Unavailable, "the controller has no release yet")
	}
	if err := live.check(k); err != nil {
		return nil, err
	}
	s.fleet.put(k, state)
	if state.State != stateNames[deliveryv1.ReportRequest_STATE_APPLIED] && s.fleet.loud(k) {
		s.opt.Log.Warn("proxy keeps an earlier release", "workload", k.Workload, "instance", state.Instance,
			"sequence", state.Sequence, "state", state.State, "code", state.Code, "error", state.Error)
	}
	return &deliveryv1.ReportResponse{}, nil
}

func proxyState(k artifact.Key, r *deliveryv1.ReportRequest) (ProxyState, error) {
	name, known := stateNames[r.GetState()]
	if !known {
		return ProxyState{}, status.Errorf(codes.InvalidArgument, "unknown state %d", r.GetState())
	}
	p := ProxyState{
		Identity: k.SPIFFEID, Workload: k.Workload, Instance: clip(r.GetInstance(), maxName),
		Sequence: r.GetSequence(), State: name, Reported: time.Now().UTC(),
		Error: clip(r.GetError(), maxErrorText), Code: clip(r.GetCode(), maxName),
	}
	for _, d := range []struct {
		from []byte
		to   *artifact.Digest
	}{{r.GetReleaseDigest(), &p.ReleaseDigest}, {r.GetTrustBundle(), &p.TrustBundle}} {
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
