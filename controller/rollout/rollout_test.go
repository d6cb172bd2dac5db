package rollout

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// waved is release 7, first to shop/a, then to everybody.
func waved() *v1alpha1.Release {
	pause := v1alpha1.Duration("1m")
	r := &v1alpha1.Release{Spec: v1alpha1.ReleaseSpec{Rollout: &v1alpha1.RolloutSettings{
		Waves: []v1alpha1.RolloutWave{{Workloads: []v1alpha1.WorkloadPattern{"shop/a"}, Pause: &pause}},
	}}}
	r.Status.Signature, r.Status.Sequence = &v1alpha1.ReleaseSignature{}, 7
	return r
}

func proxy(workload, state string, sequence int64) v1alpha1.ProxyReport {
	return v1alpha1.ProxyReport{
		Workload: workload, Instance: "0", State: state, Sequence: sequence, Connected: true, Reported: metav1.NewTime(start.Add(time.Second)),
	}
}

// A good release goes through its wave and its pause to everybody.
func TestAdvance(t *testing.T) {
	r, now := waved(), start
	steps := []struct {
		after   time.Duration
		proxies []v1alpha1.ProxyReport
		phase   v1alpha1.RolloutPhase
		wave    int32
		b       bool // reached
	}{
		{0, nil, v1alpha1.RolloutProgressing, 1, false},
		{time.Second, []v1alpha1.ProxyReport{proxy("shop/a", "applied", 6)}, v1alpha1.RolloutProgressing, 1, false},
		{time.Second, []v1alpha1.ProxyReport{proxy("shop/a", "applied", 7)}, v1alpha1.RolloutPaused, 1, false},
		{30 * time.Second, nil, v1alpha1.RolloutPaused, 1, false},
		{30 * time.Second, nil, v1alpha1.RolloutProgressing, 2, true},
		{time.Second, []v1alpha1.ProxyReport{proxy("shop/a", "applied", 7), proxy("shop/b", "applied", 6)}, v1alpha1.RolloutProgressing, 2, true},
		{time.Second, []v1alpha1.ProxyReport{proxy("shop/a", "applied", 7), proxy("shop/b", "applied", 7)}, v1alpha1.RolloutComplete, 2, true},
	}
	for i, s := range steps {
		now = now.Add(s.after)
		step := Advance(r, s.proxies, nil, false, now)
		r.Status.Rollout = &step.Status
		if step.Status.Phase != s.phase || step.Status.Wave != s.wave || Reached(r, "shop/b") != s.b || !Reached(r, "shop/a") {
			t.Fatalf("step %d: %+v, shop/b reached %v; want %s of wave %d and %v", i, step.Status, Reached(r, "shop/b"), s.phase, s.wave, s.b)
		}
	}
}

// A bad release stops at the first wave; a download that broke is no verdict.
func TestHalt(t *testing.T) {
	rejected := proxy("shop/a", "rejected", 6)
	rejected.Rejected, rejected.Error = 7, "no such cluster"
	broken := proxy("shop/a", "refused", 6)
	broken.Code = brokenDownload
	old := proxy("shop/a", "refused", 6)
	old.Reported = metav1.NewTime(start.Add(-time.Minute))
	for name, c := range map[string]struct {
		proxy v1alpha1.ProxyReport
		after time.Duration
		phase v1alpha1.RolloutPhase
	}{
		"rejected":                  {rejected, time.Second, v1alpha1.RolloutHalted},
		"refused":                   {proxy("shop/a", "refused", 6), time.Second, v1alpha1.RolloutHalted},
		"a broken download":         {broken, time.Second, v1alpha1.RolloutProgressing},
		"a refusal of another time": {old, time.Second, v1alpha1.RolloutProgressing},
		"late":                      {proxy("shop/a", "applied", 6), 5 * time.Minute, v1alpha1.RolloutHalted},
	} {
		r := waved()
		begun := Advance(r, nil, nil, false, start)
		r.Status.Rollout = &begun.Status
		step := Advance(r, []v1alpha1.ProxyReport{c.proxy}, nil, false, start.Add(c.after))
		if step.Status.Phase != c.phase || step.Status.Phase == v1alpha1.RolloutHalted && step.Status.Message == "" {
			t.Errorf("%s: %+v, want %s", name, step.Status, c.phase)
		}
		r.Status.Rollout = &step.Status
		if Reached(r, "shop/b") {
			t.Errorf("%s: shop/b is reached", name)
		}
	}
}

// A larger share holds all of a smaller one, and is about as large as it says.
func TestShare(t *testing.T) {
	n := 0
	for i := range 1000 {
		if share("shop/w"+string(rune('a'+i%26))+time.Duration(i).String()) < 30 {
			n++
		}
	}
	if n < 250 || n > 350 {
		t.Errorf("30 %% of 1000 workloads are %d", n)
	}
}
