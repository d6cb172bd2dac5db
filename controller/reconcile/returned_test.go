package reconcile

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/quarantine"
)

// compiled does what comes after policies were compiled, and reports it.
func (s *site) compiled(r *artifact.Release) *attempt {
	s.t.Helper()
	a := &attempt{sync: s.sync, result: &compiler.Result{Release: r}, revision: "main@sha1:" + r.Digest().Hex()[:40]}
	s.report(a, s.publish(s.t.Context(), a))
	return a
}

// changed is compiled for objects of the cluster.
func (s *site) changed(r *artifact.Release) *attempt {
	s.t.Helper()
	a := &attempt{
		sync: s.sync, result: &compiler.Result{Release: r}, revision: "cluster@" + r.Digest().Hex(),
		view: &view{}, settled: &quarantine.Outcome{},
	}
	s.report(a, s.publish(s.t.Context(), a))
	return a
}

// signs signs a Release as the sign role does, and lets it spread.
func (s *site) signs(name string, sequence int64) {
	s.t.Helper()
	r := s.get(name)
	r.Status.Signature, r.Status.Sequence = &v1alpha1.ReleaseSignature{Envelope: []byte("{}"), Sequence: sequence, Expires: metav1.Now()}, sequence
	if err := s.Client.Status().Update(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
	for range 4 { // waves
		s.roll()
	}
}

// A rollout that fails goes back, the failed content is not tried again by itself, and
// it is when somebody asks.
func TestReturned(t *testing.T) {
	s := newSite(t)
	recorder := record.NewFakeRecorder(100)
	s.Events = recorder
	one := int32(1)
	s.sync.Spec.Rollout = &v1alpha1.RolloutSettings{Waves: []v1alpha1.RolloutWave{{Percent: &one}}, OnFailure: "return"}
	good, bad := s.content("shop/good"), s.content("shop/bad")
	s.compiled(good)
	s.signs("mesh-1", 1)
	if a := s.compiled(good); phaseOf(a.release) != v1alpha1.RolloutComplete || !conditions.IsReady(s.sync) {
		t.Fatalf("the first one is %+v", a.release.Status)
	}
	report := &v1alpha1.FleetReport{RenewTime: metav1.NewMicroTime(time.Now()), Proxies: []v1alpha1.ProxyReport{{
		Workload: "shop/bad", State: "rejected", Sequence: 1, Rejected: 2, Connected: true, Error: "no such cluster", Reported: metav1.Now(),
	}}}
	report.Namespace, report.Name = system, "deliver-0"
	if err := s.Client.Create(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	s.compiled(bad)
	s.signs("mesh-2", 2)
	back := s.get("mesh-3").Spec
	if back.ReturnTo != "mesh-1" || back.Content != good.Digest().String() || back.Rollout != nil {
		t.Errorf("it goes back with %+v", back)
	}
	if status := s.get("mesh-2").Status; !says(status.Conditions, v1alpha1.ConditionStalled, v1alpha1.ReasonReturned) {
		t.Errorf("what failed is %+v", status)
	}
	s.signs("mesh-3", 3)
	a := s.compiled(bad)
	if status := s.sync.Status; a.failed == nil || status.LiveRelease != "mesh-3" || status.LastAppliedRevision != back.Revision ||
		!says(status.Conditions, v1alpha1.ConditionStalled, v1alpha1.ReasonReturned) || !strings.Contains(conditions.GetMessage(s.sync, "Ready"), "no such cluster") {
		t.Errorf("the PolicySync is %+v", status)
	}
	if a := s.compiled(good); a.failed != nil || a.release.Name != "mesh-3" {
		t.Errorf("what is live already has become %s", a.release.Name)
	}
	s.sync.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	s.compiled(bad)
	s.compiled(bad) // the same request
	if got := s.names(); !slices.Equal(got, []string{"mesh-1", "mesh-2", "mesh-3", "mesh-4"}) {
		t.Errorf("Releases are %v", got)
	}
	told := 0
	for len(recorder.Events) > 0 {
		if strings.Contains(<-recorder.Events, v1alpha1.ReasonReturned) {
			told++
		}
	}
	if told != 2 { // of the Release, and of the PolicySync
		t.Errorf("it was told %d times", told)
	}
}

// What changes in the cluster waits until the Release before has spread, unless there are
// no waves, or somebody asks.
func TestWaits(t *testing.T) {
	s := newSite(t)
	s.Events = record.NewFakeRecorder(100)
	half := int32(50)
	s.sync.Spec.Rollout = &v1alpha1.RolloutSettings{Waves: []v1alpha1.RolloutWave{{Percent: &half, Pause: new(v1alpha1.Duration("1h"))}}}
	releases := func(want ...string) {
		t.Helper()
		if got := s.names(); !slices.Equal(got, want) {
			t.Fatalf("Releases are %v, want %v", got, want)
		}
	}
	s.changed(s.content("shop/a"))
	s.signs("mesh-1", 1)
	if phase := phaseOf(s.get("mesh-1")); phase != v1alpha1.RolloutPaused {
		t.Fatalf("the first Release is %s", phase)
	}
	s.changed(s.content("shop/b"))
	releases("mesh-1")
	if !says(s.sync.Status.Conditions, v1alpha1.ConditionReconciling, v1alpha1.ReasonRollingOut) || !strings.Contains(conditions.GetMessage(s.sync, "Ready"), "Release mesh-1 has spread") {
		t.Errorf("the PolicySync is %+v", s.sync.Status.Conditions)
	}
	s.sync.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	s.changed(s.content("shop/b"))
	releases("mesh-1", "mesh-2")
	s.sync.Spec.Rollout = nil
	s.sync.Annotations[meta.ReconcileRequestAnnotation] = "again"
	s.changed(s.content("shop/c"))
	s.changed(s.content("shop/d")) // the one before has no waves
	releases("mesh-1", "mesh-2", "mesh-3", "mesh-4")
}
