package fleet

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// A Fleet is the proxies of a mesh at one time.
type Fleet struct {
	At       time.Time
	Releases []Release // that are signed, newest first
	Refused  []Refusal // revisions that became no release
	Proxies  []v1alpha1.ProxyReport
}

// A Release is one that proxies may run.
type Release struct {
	Name     string // of the object in Kubernetes
	Sequence int64
	Revision string
	Commit   string
	Digest   string
	Made     time.Time
	Phase    v1alpha1.RolloutPhase // "" where releases have no waves
	Wave     int32
	Waves    int32
	Message  string // why it is halted
}

// A Refusal is a revision of the policies that became no release.
type Refusal struct {
	Revision string
	Message  string
	Findings []string // as lint prints them
}

// Live returns the newest release.
func (f Fleet) Live() (Release, bool) {
	if len(f.Releases) == 0 {
		return Release{}, false
	}
	return f.Releases[0], true
}

// Release returns the one with a sequence.
func (f Fleet) Release(sequence int64) (Release, bool) {
	i := slices.IndexFunc(f.Releases, func(r Release) bool { return r.Sequence == sequence })
	if i < 0 {
		return Release{}, false
	}
	return f.Releases[i], true
}

// Counts are proxies by what they run.
type Counts struct {
	Total   int `json:"total"`   // that are connected
	Current int `json:"current"` // run the newest release
	Behind  int `json:"behind"`  // run an earlier one, and have not failed
	Failed  int `json:"failed"`  // rejected or refused a release
	Drifted int `json:"drifted"` // run something else than what they verified
	Gone    int `json:"gone"`    // were there a while ago
}

// Count counts the proxies by the newest release.
func (f Fleet) Count() Counts {
	live, _ := f.Live()
	return Count(f.Proxies, live.Sequence)
}

// Count counts proxies by a release.
func Count(proxies []v1alpha1.ProxyReport, sequence int64) (c Counts) {
	for _, p := range proxies {
		if !p.Connected {
			c.Gone++
			continue
		}
		c.Total++
		if p.Drift != "" {
			c.Drifted++
		}
		switch {
		case Failed(p):
			c.Failed++
		case p.Sequence >= sequence:
			c.Current++
		default:
			c.Behind++
		}
	}
	return c
}

// Failed reports whether a proxy did not take the newest release that it was
// offered. A download that broke is tried again, and is no failure yet.
func Failed(p v1alpha1.ProxyReport) bool {
	return p.State != stateApplied && p.Code != codeFetch
}

const (
	stateApplied  = "applied"
	stateRejected = "rejected"
	// codeFetch is the agent's for a download that broke.
	codeFetch = "agent-fetch"
)

// staleAfter is how old a report may be: a replica renews its own more often.
const staleAfter = 2 * time.Minute

// Fresh reports whether a replica still stands behind its report.
func Fresh(r v1alpha1.FleetReport, now time.Time) bool {
	return now.Sub(r.RenewTime.Time) < staleAfter
}

// Merge joins the reports of replicas: a proxy that went from one to another is
// where it was last.
func Merge(reports []v1alpha1.FleetReport, now time.Time) []v1alpha1.ProxyReport {
	newest := map[proxyKey]v1alpha1.ProxyReport{}
	for _, r := range reports {
		if !Fresh(r, now) {
			continue
		}
		for _, p := range r.Proxies {
			k := keyOf(p)
			if have, ok := newest[k]; !ok || newer(p, have) {
				newest[k] = p
			}
		}
	}
	out := make([]v1alpha1.ProxyReport, 0, len(newest))
	for _, p := range newest {
		out = append(out, p)
	}
	slices.SortFunc(out, byName)
	return out
}

type proxyKey struct{ workload, identity, instance string }

func keyOf(p v1alpha1.ProxyReport) proxyKey { return proxyKey{p.Workload, p.Identity, p.Instance} }

func byName(a, b v1alpha1.ProxyReport) int {
	return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Identity, b.Identity))
}

// newer reports whether a was said after b. Times are of whole seconds: of one
// second, who still has the proxy knows better.
func newer(a, b v1alpha1.ProxyReport) bool {
	if !a.Reported.Equal(&b.Reported) {
		return a.Reported.After(b.Reported.Time)
	}
	if a.Connected != b.Connected {
		return a.Connected
	}
	return a.Sequence > b.Sequence
}

// HighestSequence is the highest that an agent showed to some replica, however
// long ago: a sequence number is not used again.
func HighestSequence(reports []v1alpha1.FleetReport) (highest int64) {
	for _, r := range reports {
		highest = max(highest, r.HighestSequence)
	}
	return highest
}

// Of joins what the API server has.
func Of(releases []v1alpha1.Release, reports []v1alpha1.FleetReport, syncs []v1alpha1.PolicySync, now time.Time) Fleet {
	f := Fleet{At: now, Proxies: Merge(reports, now)}
	for _, r := range releases {
		if r.Status.Sequence > 0 {
			f.Releases = append(f.Releases, releaseOf(r))
		}
	}
	slices.SortFunc(f.Releases, func(a, b Release) int {
		return cmp.Or(cmp.Compare(b.Sequence, a.Sequence), cmp.Compare(a.Name, b.Name))
	})
	for _, s := range syncs {
		if refused, ok := refusalOf(s); ok {
			f.Refused = append(f.Refused, refused)
		}
	}
	return f
}

func releaseOf(r v1alpha1.Release) Release {
	out := Release{
		Name: r.Name, Sequence: r.Status.Sequence, Revision: r.Spec.Revision, Commit: r.Spec.Commit,
		Made: r.CreationTimestamp.Time,
	}
	if s := r.Status.Signature; s != nil {
		out.Digest = s.Digest
	}
	if s := r.Status.Rollout; s != nil {
		out.Phase, out.Wave, out.Waves, out.Message = s.Phase, s.Wave, s.Waves, s.Message
	}
	return out
}

// refusalOf finds a revision that was tried and is not applied, for good.
func refusalOf(s v1alpha1.PolicySync) (Refusal, bool) {
	if s.Status.LastAttemptedRevision == "" || s.Status.LastAttemptedRevision == s.Status.LastAppliedRevision {
		return Refusal{}, false
	}
	for _, c := range s.Status.Conditions {
		if c.Type != v1alpha1.ConditionReady || c.Status != "False" || !slices.Contains(refusals, c.Reason) {
			continue
		}
		r := Refusal{Revision: s.Status.LastAttemptedRevision, Message: c.Message}
		if d := s.Status.Diagnostics; d != nil {
			r.Findings = d.First
		}
		return r, true
	}
	return Refusal{}, false
}

// refusals are the reasons that another attempt on the same revision does not cure.
var refusals = []string{v1alpha1.ReasonPoliciesRefused, v1alpha1.ReasonCompileFailed, v1alpha1.ReasonVerificationFailed}

// Is reports whether people mean the release by what they write: its sequence, its
// revision, or at least seven digits of its commit.
func (r Release) Is(name string, sequence int64) bool {
	return sequence > 0 && r.Sequence == sequence || matches(r.Revision, name) || matches(r.Commit, name)
}

// shortest is the length that git abbreviates to.
const shortest = 7

// matches compares with a revision such as "main@sha1:c0ffee...", several of which
// are joined by ";".
func matches(revision, name string) bool {
	if revision == "" || name == "" {
		return false
	}
	if revision == name {
		return true
	}
	for part := range strings.SplitSeq(revision, ";") {
		commit := part[strings.LastIndexByte(part, ':')+1:]
		if part == name || len(name) >= shortest && strings.HasPrefix(commit, name) {
			return true
		}
	}
	return false
}
