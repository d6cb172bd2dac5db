package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/drift"
	"github.com/mesh-compile/mesh-compile/agent/envoy"
	"github.com/mesh-compile/mesh-compile/agent/verify"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

const (
	// comparePause is between two looks that must see the same difference: what
	// one alone saw was a change under way.
	comparePause = time.Second
	// compareContents is how many looks at versions there are for one at content,
	// which Envoy has to print. A new slice is looked at whole, at once.
	compareContents = 20
)

// keepComparing looks at what Envoy runs, and reports how it differs from what
// was verified.
func (a *Agent) keepComparing(ctx context.Context) error {
	checker := drift.NewChecker(a.envoy.Admin().Get)
	var seen content
	for n := 0; ; n++ {
		now, changed := a.activeContent()
		whole := now != seen || n%compareContents == 0
		if found, ok := a.compare(ctx, checker, whole); ok {
			seen = now
			a.drifted(found)
		}
		if !a.waitToCompare(ctx, seen, changed) {
			return nil
		}
	}
}

// waitToCompare returns after a while, or soon after Envoy has taken another slice.
func (a *Agent) waitToCompare(ctx context.Context, seen content, changed <-chan struct{}) bool {
	every := a.config.CompareInterval
	timer := time.NewTimer(every - every/10 + rand.N(every/5))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-changed:
			var now content
			if now, changed = a.activeContent(); now != seen {
				return sleepUntil(ctx, time.Now().Add(min(comparePause, every)))
			}
		}
	}
}

func (a *Agent) activeContent() (now content, changed <-chan struct{}) {
	changed = a.view(func() {
		if a.active != nil {
			now = contentOf(a.active)
		}
	})
	return now, changed
}

// compare returns what two looks saw. It is not ok where nothing can be said:
// without Envoy, and while a release is on its way.
func (a *Agent) compare(ctx context.Context, c *drift.Checker, whole bool) (found []string, ok bool) {
	look := c.Versions
	if whole {
		look = c.Contents
	}
	for try := range 2 {
		want, r, ok := a.wanted()
		if !ok {
			return nil, false
		}
		seen, err := look(ctx, want)
		if _, now, still := a.wanted(); err != nil || !still || now != r {
			return nil, false
		}
		if try > 0 {
			seen = slices.DeleteFunc(seen, func(s string) bool { return !slices.Contains(found, s) })
		}
		if found = seen; len(found) == 0 {
			return nil, true
		}
		if try == 0 && !sleepUntil(ctx, time.Now().Add(comparePause)) {
			return nil, false
		}
	}
	return found, true
}

// wanted is what Envoy is to run now.
func (a *Agent) wanted() (w drift.Want, r *verify.Release, ok bool) {
	var trying bool
	a.view(func() { r, trying = a.active, a.trying != nil })
	if r == nil || trying || a.envoy.State().Phase != envoy.PhaseRunning || !a.xds.Connected() {
		return w, r, false
	}
	snapshot, err := a.snapshot(r)
	if err != nil {
		return w, r, false // it was served: this cannot be
	}
	return drift.Want{
		Clusters: snapshot.Clusters, Listeners: snapshot.Listeners, Routes: snapshot.Routes,
		Leaving: a.xds.Leaving(), Secrets: a.xds.Secrets(), Bootstrap: a.bootstrap,
	}, r, true
}

// drifted notes what was found and reports it, when it is news. Envoy is then sent
// what it is to run once more, which mends what another server has served; what
// stays was done otherwise, and is for people to look at.
func (a *Agent) drifted(found []string) {
	var known []string
	a.view(func() { known, a.status.Compared = a.status.Drift, time.Now() })
	if slices.Equal(found, known) {
		return
	}
	if len(found) > 0 {
		a.config.Log.Error("envoy does not run what was verified", "drift", drift.Text(found))
		a.xds.Resend()
	} else {
		a.config.Log.Info("envoy runs what was verified again")
	}
	a.change(func() {
		a.status.Drift = found
		if a.report != nil {
			next := proto.Clone(a.report).(*deliveryv1.ReportRequest)
			next.Drift = drift.Text(found)
			a.report = next
		}
	})
}
