package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// Latest names whatever release is the newest.
const Latest = "latest"

// A Goal is a release that proxies are to run.
type Goal struct {
	Release   string   // sequence, revision, commit, or Latest
	Workloads []string // namespace/name; every one when empty
}

// A Verdict says how far a goal is.
type Verdict struct {
	Release Release // zero while there is none
	Reached bool
	// Failed says why it will not be reached, a line each.
	Failed []string
	// Waiting says what for, when neither.
	Waiting string
	Running int // proxies that run it, or a newer one
	Total   int
}

// Reached judges a goal by what the proxies say.
func (f Fleet) Reached(g Goal) Verdict {
	r, ok := f.find(g.Release)
	if !ok {
		return f.notMade(g.Release)
	}
	v := Verdict{Release: r}
	if r.Phase == v1alpha1.RolloutHalted {
		v.Failed = append(v.Failed, fmt.Sprintf("the rollout of release %d is halted: %s", r.Sequence, r.Message))
	}
	missing := slices.Clone(g.Workloads)
	for _, p := range f.Proxies {
		if !p.Connected || len(g.Workloads) > 0 && !slices.Contains(g.Workloads, p.Workload) {
			continue
		}
		missing = slices.DeleteFunc(missing, func(w string) bool { return w == p.Workload })
		v.judge(p)
	}
	v.Reached = len(v.Failed) == 0 && v.Running == v.Total && len(missing) == 0
	if len(missing) > 0 {
		v.Waiting = fmt.Sprintf("no proxy of %s is connected", missing[0])
	} else if v.Waiting == "" && !v.Reached {
		v.Waiting = r.progress()
	}
	return v
}

// find returns the release that a name means.
func (f Fleet) find(name string) (Release, bool) {
	if name == Latest {
		return f.Live()
	}
	sequence, _ := strconv.ParseInt(name, 10, 64) // else it is a revision
	i := slices.IndexFunc(f.Releases, func(r Release) bool { return r.Is(name, sequence) })
	if i >= 0 {
		return f.Releases[i], true
	}
	// One that went before the newest, and that nobody keeps a note of.
	if live, ok := f.Live(); ok && 0 < sequence && sequence < live.Sequence {
		return Release{Sequence: sequence}, true
	}
	return Release{}, false
}

// notMade is the verdict on a release that is not there (yet).
func (f Fleet) notMade(name string) (v Verdict) {
	v.Waiting = fmt.Sprintf("there is no release %s yet", name)
	for _, r := range f.Refused {
		if name == Latest && len(f.Releases) == 0 || matches(r.Revision, name) {
			v.Failed = append(v.Failed, fmt.Sprintf("revision %s is refused: %s", r.Revision, r.Message))
			v.Failed = append(v.Failed, r.Findings...)
		}
	}
	return v
}

// judge adds what one proxy says.
func (v *Verdict) judge(p v1alpha1.ProxyReport) {
	v.Total++
	switch {
	case p.Sequence >= v.Release.Sequence:
		v.Running++
	case p.State == stateRejected && p.Rejected >= v.Release.Sequence,
		// Who refuses an update does not say which: it may be anything. One that was
		// refused after the release was made is this one, or what keeps from it.
		p.State != stateApplied && p.State != stateRejected && Failed(p) && v.Release.madeBefore(p.Reported.Time):
		v.Failed = append(v.Failed, fmt.Sprintf("%s %s: %s: %s", p.Workload, p.Instance, verb(p.State), words(p)))
	case v.Waiting == "":
		v.Waiting = fmt.Sprintf("%s runs release %d", p.Workload+" "+p.Instance, p.Sequence)
	}
}

func (r Release) madeBefore(t time.Time) bool { return !r.Made.IsZero() && r.Made.Before(t) }

// String names the release.
func (r Release) String() string { return fmt.Sprintf("release %d%s", r.Sequence, paren(short(r))) }

// Progress is a line about a goal that is not reached yet.
func (v Verdict) Progress() string {
	if v.Release.Sequence == 0 {
		return v.Waiting
	}
	line := fmt.Sprintf("%s: %d of %s", v.Release, v.Running, Proxies(v.Total))
	if v.Waiting != "" {
		line += "; " + v.Waiting
	}
	return line
}

func (r Release) progress() string {
	if r.Waves > 1 {
		return fmt.Sprintf("wave %d of %d is %s", r.Wave, r.Waves, r.Phase)
	}
	return ""
}

// verb is what a proxy did with the release that it was offered.
func verb(state string) string {
	if state == stateRejected {
		return "rejected by Envoy"
	}
	return "refused by the agent"
}

func words(p v1alpha1.ProxyReport) string {
	if p.Error == "" {
		return p.Code
	}
	return p.Error
}
