package rollout

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// A Step is where a rollout stands after what is known was looked at.
type Step struct {
	Status v1alpha1.RolloutStatus
	Counts v1alpha1.ProxyCounts
	// After is when to look again without a reason, 0 for never.
	After time.Duration
}

// Advance takes a rollout one step on. Proxies are all that report; changed says for
// whom the release is another one; superseded says that a newer release is signed.
func Advance(r *v1alpha1.Release, proxies []v1alpha1.ProxyReport, changed Changed, superseded bool, now time.Time) Step {
	s := Step{Counts: count(r, proxies)}
	if r.Status.Rollout != nil {
		s.Status = *r.Status.Rollout
	}
	switch {
	case Over(r):
		return s
	case superseded:
		s.Status.Phase, s.Status.Since = v1alpha1.RolloutSuperseded, metav1.NewTime(now)
		return s
	case !Signed(r):
		s.Status = v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutPending, Waves: waves(r)}
		return s
	case s.Status.Wave == 0:
		s.enter(r, 1, now)
		return s
	case s.Status.Phase == v1alpha1.RolloutPaused:
		return s.paused(r, now)
	}
	return s.judge(r, proxies, changed, now)
}

// enter begins a wave.
func (s *Step) enter(r *v1alpha1.Release, wave int32, now time.Time) {
	s.Status = v1alpha1.RolloutStatus{
		Phase: v1alpha1.RolloutProgressing, Wave: wave, Waves: waves(r), Since: metav1.NewTime(now.Truncate(time.Second)),
	}
	s.After = max(deadline(r), time.Second)
}

func (s Step) paused(r *v1alpha1.Release, now time.Time) Step {
	left := pause(r, s.Status.Wave) - now.Sub(s.Status.Since.Time)
	if left > 0 {
		s.After = left
		return s
	}
	s.enter(r, s.Status.Wave+1, now)
	return s
}

func pause(r *v1alpha1.Release, wave int32) time.Duration {
	if wave >= waves(r) {
		return 0
	}
	return duration(r.Spec.Rollout.Waves[wave-1].Pause, 0)
}

// judge looks at the proxies of the waves so far.
func (s Step) judge(r *v1alpha1.Release, proxies []v1alpha1.ProxyReport, changed Changed, now time.Time) Step {
	t := tell(r, s.Status.Wave, proxies, changed)
	late := t.waiting > 0 && overdue(r, &s.Status, now)
	failed := t.failed
	if late {
		failed += t.waiting
	}
	switch {
	case r.Spec.Rollout != nil && failed > maxFailed(r):
		s.Status.Phase, s.Status.Message = v1alpha1.RolloutHalted, t.message(s.Status.Wave, late)
	case t.waiting > 0 && !late:
		s.Status.Message = fmt.Sprintf("waiting for %d of %d proxies", t.waiting, t.all)
		if d := deadline(r); d > 0 {
			s.After = d - now.Sub(s.Status.Since.Time)
		}
	case s.Status.Wave >= waves(r) && t.failed > 0 && r.Spec.Rollout == nil:
		s.Status.Message = t.message(s.Status.Wave, false) // nobody is held back; it is complete when they are mended
	case s.Status.Wave >= waves(r):
		s.Status.Phase, s.Status.Since, s.Status.Message = v1alpha1.RolloutComplete, metav1.NewTime(now.Truncate(time.Second)), ""
	case pause(r, s.Status.Wave) > 0:
		s.Status.Phase, s.Status.Since, s.Status.Message = v1alpha1.RolloutPaused, metav1.NewTime(now.Truncate(time.Second)), ""
		s.After = pause(r, s.Status.Wave)
	default:
		s.enter(r, s.Status.Wave+1, now)
	}
	return s
}

func overdue(r *v1alpha1.Release, s *v1alpha1.RolloutStatus, now time.Time) bool {
	return deadline(r) > 0 && now.Sub(s.Since.Time) >= deadline(r)
}

func maxFailed(r *v1alpha1.Release) int {
	if r.Spec.Rollout == nil || r.Spec.Rollout.MaxFailed == nil {
		return 0
	}
	return int(*r.Spec.Rollout.MaxFailed)
}

// tally is what the proxies that a wave has come to say.
type tally struct {
	all, waiting, failed int
	first                *v1alpha1.ProxyReport // that failed
	slow                 *v1alpha1.ProxyReport // that has not answered
}

// tell counts connected proxies: one that is not there answers nobody, and takes
// the release when it comes. One for which nothing changed has nothing to say.
func tell(r *v1alpha1.Release, wave int32, proxies []v1alpha1.ProxyReport, changed Changed) (t tally) {
	for i := range proxies {
		p := &proxies[i]
		if !asked(r, wave, p, changed) {
			continue
		}
		t.all++
		switch {
		case failedAt(r, p):
			if t.failed++; t.first == nil {
				t.first = p
			}
		case !runs(r, p):
			if t.waiting++; t.slow == nil {
				t.slow = p
			}
		}
	}
	return t
}

func asked(r *v1alpha1.Release, wave int32, p *v1alpha1.ProxyReport, changed Changed) bool {
	return p.Connected && reachedBy(r, wave, p.Workload) && changed.has(p.Workload)
}

func runs(r *v1alpha1.Release, p *v1alpha1.ProxyReport) bool {
	return p.State == "applied" && p.Sequence >= r.Status.Sequence
}

// brokenDownload is the code of a download that ended half way, as when a replica is
// drained: the agent tries again by itself.
const brokenDownload = "agent-fetch"

// failedAt reports whether a proxy did not take this release. A refusal names no
// sequence: one that was reported since the wave began counts for the release that is
// being delivered.
func failedAt(r *v1alpha1.Release, p *v1alpha1.ProxyReport) bool {
	switch p.State {
	case "rejected":
		return p.Rejected == r.Status.Sequence || p.Rejected == 0 && p.Sequence < r.Status.Sequence
	case "refused":
		since := r.CreationTimestamp.Time
		if r.Status.Rollout != nil && !r.Status.Rollout.Since.IsZero() {
			since = r.Status.Rollout.Since.Time
		}
		return p.Code != brokenDownload && p.Sequence < r.Status.Sequence && !p.Reported.Time.Before(since)
	}
	return false
}

func (t tally) message(wave int32, late bool) string {
	switch {
	case t.first != nil:
		return fmt.Sprintf("wave %d: %d of %d proxies did not take the release; %s of %s %s it: %s", wave, t.failed, t.all, t.first.Instance, t.first.Workload, t.first.State, t.first.Error)
	case late && t.slow != nil:
		return fmt.Sprintf("wave %d: %d of %d proxies have not answered before the deadline, %s of %s among them", wave, t.waiting, t.all, t.slow.Instance, t.slow.Workload)
	}
	return ""
}

// count is for the status of a Release, which people read.
func count(r *v1alpha1.Release, proxies []v1alpha1.ProxyReport) (c v1alpha1.ProxyCounts) {
	for i := range proxies {
		p := &proxies[i]
		if !p.Connected {
			continue
		}
		c.Total++
		switch {
		case failedAt(r, p):
			c.Failed++
		case p.State == "applied" && p.Sequence == r.Status.Sequence && Signed(r):
			c.Current++
		}
		if p.Drift != "" {
			c.Drifted++
		}
	}
	return c
}
