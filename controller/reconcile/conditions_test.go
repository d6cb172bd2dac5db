package reconcile

import (
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/runtime/conditions/check"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// kstatus is what consumers of Flux's conventions demand of conditions.
func kstatus(t *testing.T, name string, o conditions.Getter) {
	t.Helper()
	c := check.NewChecker(nil, &check.Conditions{NegativePolarity: []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled}})
	c.DisableFetch = true
	if fail, warn := c.Check(t.Context(), o); fail != nil || warn != nil {
		t.Errorf("%s: %v; %v: %+v", name, fail, warn, o.GetConditions())
	}
}

func rolledOut(phase v1alpha1.RolloutPhase) *v1alpha1.Release {
	r := &v1alpha1.Release{}
	r.Name, r.Generation, r.CreationTimestamp = "mesh-1", 1, metav1.NewTime(time.Now())
	r.Status.Signature, r.Status.Sequence = &v1alpha1.ReleaseSignature{}, 1
	r.Status.Rollout = &v1alpha1.RolloutStatus{Phase: phase, Wave: 1, Waves: 2, Message: "one proxy does not answer"}
	return r
}

// Each outcome of an attempt has its reason, says whether it waits for somebody, and is
// clean for kstatus, also after any other.
func TestPolicySyncConditions(t *testing.T) {
	unsigned, back := rolledOut(v1alpha1.RolloutPending), rolledOut(v1alpha1.RolloutComplete)
	unsigned.Status.Signature = nil
	back.Spec.ReturnTo = "mesh-0"
	gone := errors.New("gone")
	type outcome struct {
		reason  string
		a       attempt
		err     error
		stalled bool
	}
	outcomes := []outcome{
		{v1alpha1.ReasonSucceeded, attempt{release: rolledOut(v1alpha1.RolloutComplete)}, nil, false},
		{v1alpha1.ReasonAwaitingSignature, attempt{release: unsigned}, nil, false},
		{v1alpha1.ReasonRollingOut, attempt{release: rolledOut(v1alpha1.RolloutPaused)}, nil, false},
		{v1alpha1.ReasonRolloutHalted, attempt{release: rolledOut(v1alpha1.RolloutHalted)}, nil, true},
		{v1alpha1.ReasonReturned, attempt{release: back, failed: rolledOut(v1alpha1.RolloutHalted)}, nil, true},
		{v1alpha1.ReasonProgressingRetry, attempt{}, gone, false},
		{v1alpha1.ReasonFetchFailed, attempt{}, retry(v1alpha1.ReasonFetchFailed, gone), false},
		{v1alpha1.ReasonVerificationFailed, attempt{}, stall(v1alpha1.ReasonVerificationFailed, gone), true},
	}
	for _, before := range outcomes {
		for _, o := range outcomes {
			s := newSite(t)
			s.Events = record.NewFakeRecorder(10)
			before.a.sync, o.a.sync = s.sync, s.sync
			s.report(&before.a, before.err)
			s.sync.Generation++
			s.report(&o.a, o.err)
			kstatus(t, o.reason, s.sync)
			if got := conditions.GetReason(s.sync, v1alpha1.ConditionReady); got != o.reason || conditions.IsStalled(s.sync) != o.stalled {
				t.Errorf("%s after %s: the reason is %s, stalled %v", o.reason, before.reason, got, conditions.IsStalled(s.sync))
			}
			if done := o.err == nil || o.stalled; done != (s.sync.Status.ObservedGeneration == 2) && o.err != nil {
				t.Errorf("%s: generation %d was observed", o.reason, s.sync.Status.ObservedGeneration)
			}
		}
	}
}

func TestReleaseConditions(t *testing.T) {
	refused := rolledOut(v1alpha1.RolloutPending)
	refused.Spec.Envelope = []byte("{}")
	for reason, c := range map[string]struct{ r, by *v1alpha1.Release }{
		v1alpha1.ReasonSucceeded:          {rolledOut(v1alpha1.RolloutComplete), nil},
		v1alpha1.ReasonRollingOut:         {rolledOut(v1alpha1.RolloutProgressing), nil},
		v1alpha1.ReasonRolloutHalted:      {rolledOut(v1alpha1.RolloutHalted), nil},
		v1alpha1.ReasonReturned:           {rolledOut(v1alpha1.RolloutHalted), rolledOut(v1alpha1.RolloutComplete)},
		v1alpha1.ReasonAwaitingSignature:  {rolledOut(v1alpha1.RolloutPending), nil},
		v1alpha1.ReasonVerificationFailed: {refused, nil},
	} {
		judge(c.r, c.by)
		kstatus(t, reason, c.r)
		if got := conditions.GetReason(c.r, v1alpha1.ConditionReady); got != reason {
			t.Errorf("the reason is %s, want %s", got, reason)
		}
	}
}
