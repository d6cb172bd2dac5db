package signing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/signer"
	"github.com/mesh-compile/mesh-compile/controller/store"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

const namespace = "mesh-system"

// clusterTest is the sign role with the rights that it is deployed with.
type clusterTest struct {
	*testMesh
	cluster *kubetest.Cluster
	admin   client.Client // knows our kinds
	store   store.Store
	state   string // of the role
	stop    func()
}

func newClusterTest(t *testing.T) *clusterTest {
	t.Helper()
	c := kubetest.Start(t)
	admin, err := client.New(c.Config, client.Options{Scheme: testScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{} // of all tests of this package
	ns.Name = namespace
	if err := admin.Create(t.Context(), ns); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	contents, err := store.Open("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out := &clusterTest{testMesh: newMesh(t), cluster: c, admin: admin, store: contents, state: t.TempDir()}
	t.Cleanup(func() { out.clear(context.Background()) })
	return out
}

// clear removes what the role knows numbers from, but for its own file.
func (c *clusterTest) clear(ctx context.Context) {
	c.t.Helper()
	for _, o := range []client.Object{&v1alpha1.Release{}, &v1alpha1.FleetReport{}, &coordinationv1.Lease{}} {
		if err := c.admin.DeleteAllOf(ctx, o, client.InNamespace(namespace)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// start runs the role until the test ends or stop is called.
func (c *clusterTest) start() {
	t := c.t
	t.Helper()
	unique := true // several managers of one process have controllers of one name
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	m, err := ctrl.NewManager(kubetest.Load(t, c.cluster.AsDeployed(t, "components/in-cluster-signing/sign.yaml", namespace, "mesh-sign")), ctrl.Options{
		Scheme: testScheme(t), Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Controller: config.Controller{SkipNameValidation: &unique},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := signer.New(c.root, c.keys.Release, filepath.Join(c.state, "sequence.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{
		Client: m.GetClient(), Reader: m.GetAPIReader(), Namespace: namespace, Store: c.store, Signer: s,
		Limits: c.limits(), Events: m.GetEventRecorder("mesh-sign"), Metrics: NewMetrics(), Log: log,
	}
	if err := r.SetupWithManager(m); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Start(ctx) }()
	stopped := false
	c.stop = func() {
		if cancel(); !stopped {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		stopped = true
	}
	t.Cleanup(c.stop)
}

// create makes a Release as the reconcile role does, edited.
func (c *clusterTest) create(name string, edit func(*v1alpha1.ReleaseSpec)) {
	t := c.t
	t.Helper()
	content := c.content(name)
	if err := c.store.Put(t.Context(), content); err != nil {
		t.Fatal(err)
	}
	r := &v1alpha1.Release{}
	r.Namespace, r.Name = namespace, name
	r.Spec = v1alpha1.ReleaseSpec{Sync: "mesh", Revision: "main@sha1:abc", Commit: "abc", Content: store.Key(content).String()}
	if edit != nil {
		edit(&r.Spec)
	}
	if err := c.admin.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func (c *clusterTest) get(ctx context.Context, name string) (*v1alpha1.Release, error) {
	r := &v1alpha1.Release{}
	return r, c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, r)
}

// await waits for a signature with a number, and checks it as an agent does.
func (c *clusterTest) await(name string, sequence int64) *v1alpha1.Release {
	t := c.t
	t.Helper()
	var r *v1alpha1.Release
	kubetest.Until(t, func(ctx context.Context) (err error) {
		if r, err = c.get(ctx, name); err != nil {
			return err
		}
		if s := r.Status.Signature; s == nil || s.Sequence != sequence {
			return fmt.Errorf("Release %s has status %+v, want sequence %d", name, r.Status, sequence)
		}
		return nil
	})
	s := r.Status.Signature
	signed, err := signer.Check(c.root, c.content(name).WithEnvelope(s.Envelope), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if signed.Digest.String() != s.Digest || int64(signed.Doc.Sequence) != s.Sequence || r.Status.Sequence != s.Sequence ||
		!signed.Doc.ExpiresAt.Equal(s.Expires.Time) || signed.Doc.Source.Commit != "abc" {
		t.Errorf("status %+v of document %+v", r.Status, signed.Doc)
	}
	if !meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionSigned) {
		t.Errorf("conditions %+v", r.Status.Conditions)
	}
	return r
}

// awaitCondition waits for a message in the condition Signed.
func (c *clusterTest) awaitCondition(name, reason, message string) {
	c.t.Helper()
	kubetest.Until(c.t, func(ctx context.Context) error {
		r, err := c.get(ctx, name)
		if err != nil {
			return err
		}
		got := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionSigned)
		if got == nil || got.Reason != reason || !strings.Contains(got.Message, message) {
			return fmt.Errorf("condition %+v, want reason %s and %q", got, reason, message)
		}
		return nil
	})
}

// One mesh from its first release on, before the real API server.
func TestCluster(t *testing.T) {
	c := newClusterTest(t)
	// Two that wait when the role begins: the older one is never signed.
	c.create("mesh-1", nil)
	c.create("mesh-2", nil)
	c.start()
	second := c.await("mesh-2", 1)
	if first, err := c.get(t.Context(), "mesh-1"); err != nil || first.Status.Signature != nil {
		t.Errorf("the older one: %+v and %v", first.Status, err)
	}
	c.create("mesh-3", nil)
	third := c.await("mesh-3", 2)
	doc, _, err := c.root.OpenRelease(third.Status.Signature.Envelope)
	if err != nil || doc.PreviousReleaseDigest.String() != second.Status.Signature.Digest {
		t.Errorf("it follows %s and %v, want %s", doc.PreviousReleaseDigest, err, second.Status.Signature.Digest)
	}

	// Another role's part of the status stays, and so does ours beside it.
	patch := []byte(`{"status":{"rollout":{"phase":"Progressing"}}}`)
	if err := c.admin.Status().Patch(t.Context(), third, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		t.Fatal(err)
	}

	// Agents have a release that nobody here knows: its number is climbed over.
	report := &v1alpha1.FleetReport{Replica: "deliver-0", HighestSequence: 40, RenewTime: metav1.NowMicro()}
	report.Namespace, report.Name = namespace, "deliver-0"
	if err := c.admin.Create(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	if r := c.await("mesh-3", 41); r.Status.Rollout == nil || r.Status.Rollout.Phase != "Progressing" {
		t.Errorf("the rollout is gone: %+v", r.Status)
	}

	// The role comes back with no memory of its own, and again with nothing but its own.
	c.stop()
	c.state = t.TempDir()
	c.create("mesh-4", nil)
	c.start()
	c.await("mesh-4", 42)
	c.stop()
	c.clear(t.Context())
	c.create("mesh-5", nil)
	c.start()
	c.await("mesh-5", 43)

	// What is not in the store yet is signed when it is; what is refused says why.
	if err := c.store.Keep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	c.create("mesh-6", func(s *v1alpha1.ReleaseSpec) { s.Content = store.Key(c.content("mesh-later")).String() })
	c.awaitCondition("mesh-6", v1alpha1.ReasonStoreFailed, store.ErrNotFound.Error())
	if err := c.store.Put(t.Context(), c.content("mesh-later")); err != nil {
		t.Fatal(err)
	}
	c.awaitCondition("mesh-6", v1alpha1.ReasonSucceeded, "sequence number 44")
	foreign := content(t, "shop/order", "spiffe://elsewhere.example/ns/shop/sa/order", string(c.ca.RootPEM()))
	if err := c.store.Put(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	c.create("mesh-7", func(s *v1alpha1.ReleaseSpec) { s.Content = store.Key(foreign).String() })
	c.awaitCondition("mesh-7", v1alpha1.ReasonVerificationFailed, "trust domain")
	rogue := content(t, "shop/order", "spiffe://"+trustDomain+"/ns/shop/sa/order", string(c.ca.RootPEM())+string(newMesh(t).ca.RootPEM()))
	if err := c.store.Put(t.Context(), rogue); err != nil {
		t.Fatal(err)
	}
	c.create("mesh-8", func(s *v1alpha1.ReleaseSpec) { s.Content = store.Key(rogue).String() })
	c.awaitCondition("mesh-8", v1alpha1.ReasonVerificationFailed, "which this role was not given")
	kubetest.Until(t, func(context.Context) error {
		if events := c.cluster.Kubectl(t, "get", "events", "-n", namespace); !strings.Contains(events, "which this role was not given") || !strings.Contains(events, "signed with sequence number 43") {
			return fmt.Errorf("the events are\n%s", events)
		}
		return nil
	})

	// Short-lived signatures are renewed, each above the last.
	short := v1alpha1.Duration("4s")
	c.create("mesh-9", func(s *v1alpha1.ReleaseSpec) { s.Validity = &short })
	kubetest.Until(t, func(ctx context.Context) error {
		r, err := c.get(ctx, "mesh-9")
		if err == nil && (r.Status.Signature == nil || r.Status.Sequence < 47) {
			err = fmt.Errorf("it was signed as %+v, want it twice again", r.Status.Signature)
		}
		return err
	})
}

// Two replicas that both take themselves for the leader never take one number twice.
func TestTwoReplicas(t *testing.T) {
	c := newClusterTest(t)
	taken := make(chan uint64)
	var replicas sync.WaitGroup
	for range 2 {
		r := &Reconciler{Client: c.admin, Reader: c.admin, Namespace: namespace, Signer: c.signer()}
		replicas.Go(func() {
			for range 20 {
				if n, err := r.next(t.Context(), 0); err == nil {
					taken <- n
				} else if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
					t.Error(err)
				}
			}
		})
	}
	go func() { replicas.Wait(); close(taken) }()
	seen := map[uint64]bool{}
	for n := range taken {
		if seen[n] {
			t.Errorf("number %d was taken twice", n)
		}
		seen[n] = true
	}
	if len(seen) < 20 {
		t.Errorf("only %d numbers were taken", len(seen))
	}
}

// A number whose signature did not reach the API server is gone: what is signed next
// has another.
func TestLostSignature(t *testing.T) {
	c := newClusterTest(t)
	c.create("mesh-1", nil)
	lost := errors.New("the connection is lost")
	var envelopes []string
	failing := true
	base, err := client.NewWithWatch(c.cluster.Config, client.Options{Scheme: testScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	flaky := interceptor.NewClient(base, interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, to client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			text, err := json.Marshal(o)
			if err != nil {
				t.Error(err)
			}
			envelopes = append(envelopes, string(text))
			if failing {
				return lost
			}
			return to.SubResource(sub).Apply(ctx, o, opts...)
		},
	})
	r := &Reconciler{
		Client: flaky, Reader: flaky, Namespace: namespace, Store: c.store, Signer: c.signer(), Limits: c.limits(),
		Events: events.NewFakeRecorder(10), Metrics: NewMetrics(), Log: slog.New(slog.DiscardHandler),
	}
	for range 2 {
		if _, err := r.Reconcile(t.Context(), ctrl.Request{}); !errors.Is(err, lost) {
			t.Errorf("error %v", err)
		}
	}
	failing = false
	r.Signer = c.signer() // another replica, which knows nothing
	if _, err := r.Reconcile(t.Context(), ctrl.Request{}); err != nil {
		t.Fatal(err)
	}
	c.await("mesh-1", 3)
	for i, text := range envelopes {
		if !strings.Contains(text, fmt.Sprintf(`"sequence":%d`, i+1)) {
			t.Errorf("signature %d is %s", i+1, text)
		}
	}
}
