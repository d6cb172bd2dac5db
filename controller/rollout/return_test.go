package rollout

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

func rejects(workload string) v1alpha1.ProxyReport {
	p := proxy(workload, "rejected", 6)
	p.Rejected, p.Error = 7, "no such cluster"
	return p
}

// A failed rollout goes back to the newest complete content, where that is asked for
// and somebody can sign it.
func TestReturn(t *testing.T) {
	list := func(edit func(r *v1alpha1.Release)) []v1alpha1.Release {
		out := make([]v1alpha1.Release, 3)
		for i := range out {
			out[i] = *waved()
			out[i].Name, out[i].Status.Sequence = string(rune('a'+i)), int64(5+i)
			out[i].Status.Rollout = &v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutComplete}
		}
		last := &out[2]
		last.Status.Rollout.Wave, last.Status.Rollout.Since = 2, metav1.NewTime(start)
		last.Status.Rollout.Phase, last.Spec.Rollout.OnFailure = v1alpha1.RolloutHalted, "return"
		edit(last)
		return out
	}
	for name, c := range map[string]struct {
		edit func(r *v1alpha1.Release)
		to   string
	}{
		"it goes back":      {func(*v1alpha1.Release) {}, "b"},
		"it halts":          {func(r *v1alpha1.Release) { r.Spec.Rollout.OnFailure = "halt" }, ""},
		"unless written":    {func(r *v1alpha1.Release) { r.Spec.Rollout.OnFailure = "" }, ""},
		"it is on its way":  {func(r *v1alpha1.Release) { r.Status.Rollout.Phase = v1alpha1.RolloutProgressing }, ""},
		"it came signed":    {func(r *v1alpha1.Release) { r.Spec.Envelope = []byte("{}") }, ""},
		"nothing was there": {func(r *v1alpha1.Release) { r.Status.Sequence = 1 }, ""},
	} {
		_, to := Return(list(c.edit), []v1alpha1.ProxyReport{rejects("shop/a")}, Changed{"shop/a": true}, start)
		if got := ""; to != nil {
			if got = to.Name; got != c.to {
				t.Errorf("%s: to %s, want %q", name, got, c.to)
			}
		} else if c.to != "" {
			t.Errorf("%s: to nothing, want %s", name, c.to)
		}
	}
	if failed, to := Return(nil, nil, nil, start); failed != nil || to != nil {
		t.Error("of nothing comes something")
	}
}

// Only proxies for which a release is another one can hold it up.
func TestUnchanged(t *testing.T) {
	for name, c := range map[string]struct {
		proxies []v1alpha1.ProxyReport
		after   time.Duration
		phase   v1alpha1.RolloutPhase
	}{
		"a liar":           {[]v1alpha1.ProxyReport{rejects("evil/liar"), proxy("shop/a", "applied", 7)}, time.Second, v1alpha1.RolloutComplete},
		"a silent one":     {[]v1alpha1.ProxyReport{proxy("evil/liar", "applied", 6), proxy("shop/a", "applied", 7)}, time.Hour, v1alpha1.RolloutComplete},
		"one that it hits": {[]v1alpha1.ProxyReport{proxy("evil/liar", "applied", 6), rejects("shop/a")}, time.Second, v1alpha1.RolloutHalted},
	} {
		r := waved()
		r.Status.Rollout = &v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutProgressing, Wave: 2, Waves: 2, Since: metav1.NewTime(start)}
		if step := Advance(r, c.proxies, Changed{"shop/a": true}, false, start.Add(c.after)); step.Status.Phase != c.phase {
			t.Errorf("%s: %+v, want %s", name, step.Status, c.phase)
		}
	}
}

// What one namespace runs, proxies of others do not take away again.
func TestReturnAgreed(t *testing.T) {
	runs := proxy("shop/a", "applied", 7)
	both := Changed{"shop/a": true, "evil/liar": true}
	for name, c := range map[string]struct {
		proxies []v1alpha1.ProxyReport
		changed Changed
		after   time.Duration
		want    bool
	}{
		"all fail":                     {[]v1alpha1.ProxyReport{rejects("shop/a"), rejects("evil/liar")}, both, 0, true},
		"the only one that it changes": {[]v1alpha1.ProxyReport{rejects("shop/a"), proxy("evil/liar", "applied", 6)}, Changed{"shop/a": true}, 0, true},
		"one does not answer":          {[]v1alpha1.ProxyReport{proxy("shop/a", "applied", 6)}, both, time.Hour, true},
		"it is waited for":             {[]v1alpha1.ProxyReport{proxy("shop/a", "applied", 6), rejects("evil/liar")}, both, 0, false},
		"another one runs it":          {[]v1alpha1.ProxyReport{runs, rejects("evil/liar"), rejects("evil/liar")}, both, 0, false},
		"one of two replicas":          {[]v1alpha1.ProxyReport{runs, rejects("shop/a")}, both, 0, false},
		"two of three replicas":        {[]v1alpha1.ProxyReport{runs, rejects("shop/a"), rejects("shop/a")}, both, 0, true},
		"it changes others":            {[]v1alpha1.ProxyReport{rejects("evil/liar")}, Changed{"shop/a": true}, 0, false},
		"nobody knows":                 {[]v1alpha1.ProxyReport{rejects("shop/a")}, nil, 0, false},
	} {
		good, bad := *waved(), *waved()
		good.Status.Sequence, good.Status.Rollout = 6, &v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutComplete}
		bad.Spec.Rollout.OnFailure = "return"
		bad.Status.Rollout = &v1alpha1.RolloutStatus{Phase: v1alpha1.RolloutHalted, Wave: 2, Waves: 2, Since: metav1.NewTime(start)}
		if _, to := Return([]v1alpha1.Release{good, bad}, c.proxies, c.changed, start.Add(c.after)); (to != nil) != c.want {
			t.Errorf("%s: goes back: %v", name, to != nil)
		}
	}
}
