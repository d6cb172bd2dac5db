package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

const system = "mesh-system"

// site is a reconciler with what is around it: a store, the keys of a mesh, and an
// API server that does as it is told.
type site struct {
	*Reconciler
	t    *testing.T
	keys *sign.Keys
	sync *v1alpha1.PolicySync
}

func newSite(t *testing.T) *site {
	t.Helper()
	keys, err := sign.Keygen(sign.KeygenOptions{MeshID: "mesh", TrustDomain: "mesh.example", ExpiresAt: time.Now().Add(365 * 24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	root, err := sign.OpenRoot(keys.Document)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := store.Open("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.PolicySync{}, &v1alpha1.Release{}).Build()
	s := &site{t: t, keys: keys, sync: &v1alpha1.PolicySync{}}
	s.sync.Namespace, s.sync.Name, s.sync.Generation = system, "mesh", 1
	s.Reconciler = &Reconciler{Client: c, Reader: c, Namespace: system, Store: contents, Root: root, Metrics: NewMetrics(), Log: slog.New(slog.DiscardHandler)}
	return s
}

// content is a release of a workload.
func (s *site) content(workload string) *artifact.Release {
	s.t.Helper()
	b := artifact.NewBuilder(nil)
	b.AddLeaf(artifact.Leaf{SPIFFEID: "spiffe://mesh.example/ns/shop/sa/order", Workload: workload, Kind: artifact.Tombstone, Sensitivity: artifact.Normal})
	r, err := b.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// sign signs a content as a pipeline does.
func (s *site) sign(r *artifact.Release, sequence uint64, edit func(*sign.ReleaseDoc)) *artifact.Release {
	s.t.Helper()
	now, doc := sign.At(time.Now()), sign.Describe(r)
	doc.MeshID, doc.Sequence, doc.Source.Commit = "mesh", sequence, "c0ffee"
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = now, now, sign.At(now.Add(time.Hour))
	doc.Analysis.Findings.Warning = 3
	if edit != nil {
		edit(&doc)
	}
	envelope, err := sign.SignRelease(doc, s.keys.Release)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.WithEnvelope(envelope)
}

// take does what comes after a release was fetched.
func (s *site) take(r *artifact.Release) (*attempt, error) {
	a := &attempt{sync: s.sync, signed: r, revision: "live@sha256:0"}
	err := s.verify(s.t.Context(), a)
	if err == nil {
		err = s.publishSigned(s.t.Context(), a)
	}
	return a, err
}

func (s *site) names() (names []string) {
	s.t.Helper()
	releases, err := s.releases(s.t.Context(), s.Client)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range releases {
		names = append(names, r.Name)
	}
	return names
}

// A good release becomes one Release with what its document says, once.
func TestSigned(t *testing.T) {
	s := newSite(t)
	one := s.sign(s.content("shop/one"), 5, nil)
	a, err := s.take(one)
	if err != nil {
		t.Fatal(err)
	}
	spec := a.release.Spec
	if spec.Commit != "c0ffee" || spec.Revision != "sha1:c0ffee" || spec.Workloads != 1 || spec.Diagnostics.Warnings != 3 || a.release.Status.Sequence != 5 {
		t.Errorf("the Release is %+v", a.release)
	}
	if _, err := s.Store.Get(t.Context(), store.Key(one), nil); err != nil {
		t.Error(err)
	}
	if _, err := s.take(one); err != nil {
		t.Error(err)
	}
	if _, err := s.take(s.sign(s.content("shop/one"), 6, nil)); err != nil { // signed again
		t.Error(err)
	}
	if got := s.names(); !slices.Equal(got, []string{"mesh-1", "mesh-2"}) {
		t.Errorf("Releases are %v", got)
	}
}

// What an agent would refuse becomes no Release, and the reason is the agent's.
func TestSignedRefused(t *testing.T) {
	s := newSite(t)
	if _, err := s.take(s.sign(s.content("shop/one"), 5, nil)); err != nil {
		t.Fatal(err)
	}
	next := s.content("shop/two")
	past := sign.At(time.Now().Add(-2 * time.Hour))
	for name, c := range map[string]struct {
		release *artifact.Release
		code    sign.Code
	}{
		"unsigned":                {next, sign.ReleaseEnvelope},
		"of another mesh's key":   {newSite(t).sign(next, 6, nil), sign.ReleaseSignature},
		"for another mesh":        {s.sign(next, 6, func(d *sign.ReleaseDoc) { d.MeshID = "other" }), sign.ReleaseMesh},
		"other content":           {next.WithEnvelope(s.sign(s.content("shop/three"), 6, nil).Envelope()), sign.ReleaseContent},
		"for another environment": {s.sign(next, 6, func(d *sign.ReleaseDoc) { d.Audience.Environment = "prod" }), sign.ReleaseAudience},
		"for another cluster":     {s.sign(next, 6, func(d *sign.ReleaseDoc) { d.Audience.Clusters = []string{"east"} }), sign.ReleaseAudience},
		"of another epoch":        {s.sign(next, 6, func(d *sign.ReleaseDoc) { d.SequenceEpoch = 7 }), sign.ReleaseEpoch},
		"older":                   {s.sign(next, 4, nil), sign.ReleaseRollback},
		"the same number":         {s.sign(next, 5, nil), sign.ReleaseEquivocates},
		"not after the live one":  {s.sign(next, 6, func(d *sign.ReleaseDoc) { d.PreviousReleaseDigest = artifact.DigestOf(nil) }), sign.ReleasePrevious},
		"expired": {s.sign(next, 6, func(d *sign.ReleaseDoc) {
			d.IssuedAt, d.NotBefore, d.ExpiresAt = past, past, sign.At(past.Add(time.Hour))
		}), sign.ReleaseExpired},
		"valid longer than it may": {s.sign(next, 6, func(d *sign.ReleaseDoc) { d.ExpiresAt = sign.At(time.Now().AddDate(20, 0, 0)) }), sign.ReleaseValidity},
	} {
		_, err := s.take(c.release)
		var f *fault
		if !errors.As(err, &f) || f.reason != v1alpha1.ReasonVerificationFailed || !f.stalled || sign.CodeOf(err) != c.code || c.code == "" {
			t.Errorf("%s: %v, want [%s]", name, err, c.code)
		}
		if got := s.names(); len(got) != 1 {
			t.Fatalf("%s: Releases are %v", name, got)
		}
	}
}

// A release for some clusters is taken where all of the PolicySync's are among them.
func TestSignedAudience(t *testing.T) {
	s := newSite(t)
	s.sync.Spec.Audience = &v1alpha1.Audience{Environment: "prod", Clusters: []v1alpha1.Name{"east", "west"}}
	for i, c := range []struct {
		clusters []string
		ok       bool
	}{{[]string{"east"}, false}, {[]string{"east", "west"}, true}, {nil, true}} {
		_, err := s.take(s.sign(s.content("shop/one"), uint64(i+1), func(d *sign.ReleaseDoc) {
			d.Audience = sign.Audience{Environment: "prod", Clusters: c.clusters}
		}))
		if (err == nil) != c.ok {
			t.Errorf("for %v: %v", c.clusters, err)
		}
	}
}

// A Release that somebody made by hand with an envelope that the root does not accept is
// stalled, is nobody's, and keeps nothing from the next.
func TestForgedRelease(t *testing.T) {
	s := newSite(t)
	forged := &v1alpha1.Release{Spec: v1alpha1.ReleaseSpec{Sync: "mesh", Content: s.content("shop/x").Digest().String(), Envelope: newSite(t).sign(s.content("shop/x"), 9, nil).Envelope()}}
	forged.Namespace, forged.Name = system, "mesh-1"
	if err := s.Client.Create(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	s.roll()
	status := s.get("mesh-1").Status
	if status.Sequence != 0 || !says(status.Conditions, v1alpha1.ConditionStalled, v1alpha1.ReasonVerificationFailed) {
		t.Errorf("the forged one: %+v", status)
	}
	if _, err := s.take(s.sign(s.content("shop/one"), 1, nil)); err != nil {
		t.Fatal(err)
	}
	s.roll()
	if status = s.get("mesh-2").Status; status.Sequence != 1 || status.Rollout == nil || status.Rollout.Phase != v1alpha1.RolloutProgressing {
		t.Errorf("the good one: %+v", status)
	}
}

func (s *site) get(name string) *v1alpha1.Release {
	s.t.Helper()
	r := &v1alpha1.Release{}
	if err := s.Client.Get(context.Background(), client.ObjectKey{Namespace: system, Name: name}, r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

func says(list []metav1.Condition, kind, reason string) bool {
	return slices.ContainsFunc(list, func(c metav1.Condition) bool { return c.Type == kind && strings.EqualFold(c.Reason, reason) })
}

// roll takes the Releases one step on.
func (s *site) roll() {
	s.t.Helper()
	if _, err := (Rollouts{s.Reconciler}).Reconcile(s.t.Context(), ctrl.Request{}); err != nil {
		s.t.Fatal(err)
	}
}
