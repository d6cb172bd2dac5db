// Package reconcile is the reconcile role: it turns what Flux sources hold into
// Releases, and says how they spread.
//
// In go PolicySyncs, artifacts of Flux sources, and what proxies report; out come
// contents in the release store, Release objects, conditions and events. The role
// has no key: what it publishes is nobody's until the sign role, or CI, has signed
// it. Policies with an error never replace what is live.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

// Reconciler makes Releases of the PolicySync of one namespace.
type Reconciler struct {
	Client    client.Client // its reads may be of a cache
	Reader    client.Reader // reads what is so now
	Namespace string
	Store     store.Store
	Root      *sign.TrustedRoot
	Events    events.EventRecorder
	Metrics   *Metrics
	Log       *slog.Logger

	control   controller.Controller
	manager   ctrl.Manager
	watched   map[string]bool // kinds of Flux sources
	compiling chan struct{}   // held while a compilation runs, those that were given up too

	mu       sync.Mutex
	previous *compiler.Result
}

// fault is why an attempt ended, and what comes next.
type fault struct {
	reason  string
	err     error
	stalled bool // no retry mends it: somebody has to change something
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func retry(reason string, err error) error { return &fault{reason: reason, err: err} }
func stall(reason string, err error) error { return &fault{reason: reason, err: err, stalled: true} }

// attempt is one reconciliation on its way through the steps.
type attempt struct {
	sync     *v1alpha1.PolicySync
	sources  []source
	revision string
	commit   string
	result   *compiler.Result
	release  *v1alpha1.Release
	cleanup  []func()
}

// steps in order; the first that fails ends the attempt.
var steps = []func(*Reconciler, context.Context, *attempt) error{
	(*Reconciler).alone,
	(*Reconciler).supported,
	(*Reconciler).dependencies,
	(*Reconciler).find,
	(*Reconciler).compile,
	(*Reconciler).publish,
}

// Reconcile brings one PolicySync to what its sources hold.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var sync v1alpha1.PolicySync
	if err := r.Client.Get(ctx, request.NamespacedName, &sync); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !sync.DeletionTimestamp.IsZero() || sync.Spec.Suspend {
		return ctrl.Result{}, nil
	}
	before := sync.DeepCopy()
	a := &attempt{sync: &sync}
	err := r.run(ctx, a)
	for _, f := range a.cleanup {
		f()
	}
	after := r.report(a, err)
	if err := r.patch(ctx, before, &sync); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

func (r *Reconciler) run(ctx context.Context, a *attempt) error {
	ctx, cancel := context.WithTimeout(ctx, duration(a.sync.Spec.Timeout, time.Minute))
	defer cancel()
	for _, step := range steps {
		if err := step(r, ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// alone lets the oldest PolicySync of the namespace have the mesh.
func (r *Reconciler) alone(ctx context.Context, a *attempt) error {
	var all v1alpha1.PolicySyncList
	if err := r.Client.List(ctx, &all, client.InNamespace(r.Namespace)); err != nil {
		return retry(v1alpha1.ReasonProgressingRetry, fmt.Errorf("listing PolicySyncs: %w", err))
	}
	for i := range all.Items {
		o := &all.Items[i]
		if o.UID == a.sync.UID || !o.DeletionTimestamp.IsZero() {
			continue
		}
		older := o.CreationTimestamp.Before(&a.sync.CreationTimestamp) ||
			o.CreationTimestamp.Equal(&a.sync.CreationTimestamp) && o.Name < a.sync.Name
		if older {
			return stall(v1alpha1.ReasonConflict, fmt.Errorf("PolicySync %s has the mesh of this namespace: give this one's sources to it, or delete it", o.Name))
		}
	}
	return nil
}

// supported says what this version does not do yet, instead of leaving it out.
func (r *Reconciler) supported(_ context.Context, a *attempt) error {
	s := a.sync.Spec
	switch {
	case s.Release != nil:
		return stall(v1alpha1.ReasonCompileFailed, errors.New("spec.release (releases signed in CI) is not supported yet: use sources"))
	case s.Artifact != nil:
		return stall(v1alpha1.ReasonCompileFailed, errors.New("spec.artifact is not supported yet"))
	}
	for _, source := range s.Sources {
		switch {
		case source.Cluster != nil:
			return stall(v1alpha1.ReasonCompileFailed, fmt.Errorf("source %s: the objects of this cluster are not supported as a source yet: use a sourceRef", source.Name))
		case source.OnError == v1alpha1.OnErrorQuarantine:
			return stall(v1alpha1.ReasonCompileFailed, fmt.Errorf("source %s: onError: quarantine is for the objects of a cluster: a sourceRef is refused whole", source.Name))
		}
	}
	return nil
}

// dependencies waits for Flux objects to be Ready.
func (r *Reconciler) dependencies(ctx context.Context, a *attempt) error {
	for _, d := range a.sync.Spec.DependsOn {
		if err := r.dependency(ctx, a.sync.Namespace, d); err != nil {
			return retry(v1alpha1.ReasonDependencyNotReady, err)
		}
	}
	return nil
}

// report turns the outcome of an attempt into conditions and events, and returns
// when to come again.
func (r *Reconciler) report(a *attempt, err error) time.Duration {
	s := a.sync
	if at, ok := s.Annotations[meta.ReconcileRequestAnnotation]; ok {
		s.Status.LastHandledReconcileAt = at
	}
	if a.revision != "" {
		s.Status.LastAttemptedRevision = a.revision
	}
	conditions.Delete(s, v1alpha1.ConditionReconciling)
	conditions.Delete(s, v1alpha1.ConditionStalled)
	interval := jitter(duration(&s.Spec.Interval, 10*time.Minute))
	var f *fault
	switch {
	case err == nil:
		s.Status.ObservedGeneration = s.Generation
		return r.reportRelease(a, interval)
	case !errors.As(err, &f):
		f = &fault{reason: v1alpha1.ReasonProgressingRetry, err: err}
	}
	message := bounded(f.Error(), maxMessage)
	old := conditions.Get(s, v1alpha1.ConditionReady)
	if old == nil || old.Reason != f.reason || old.Message != message {
		r.event(s, corev1.EventTypeWarning, f.reason, message)
		r.Log.Error("the policies do not become live", "sync", s.Name, "revision", a.revision, "reason", f.reason, "error", message)
	}
	conditions.MarkFalse(s, v1alpha1.ConditionReady, f.reason, "%s", message)
	if f.stalled {
		s.Status.ObservedGeneration = s.Generation
		conditions.MarkStalled(s, f.reason, "%s", message)
		return interval
	}
	conditions.MarkReconciling(s, v1alpha1.ReasonProgressingRetry, "%s", message)
	return jitter(duration(s.Spec.RetryInterval, min(interval, 30*time.Second)))
}

// reportRelease says how far the release of the newest revision is.
func (r *Reconciler) reportRelease(a *attempt, interval time.Duration) time.Duration {
	s, live := a.sync, a.release
	if live.Status.Signature == nil {
		conditions.MarkFalse(s, v1alpha1.ConditionReady, v1alpha1.ReasonAwaitingSignature, "Release %s waits for the sign role", live.Name)
		conditions.MarkReconciling(s, v1alpha1.ReasonProgressing, "Release %s waits for the sign role", live.Name)
		return interval
	}
	if s.Status.LiveRelease != live.Name || s.Status.LastAppliedRevision != a.revision {
		r.event(s, corev1.EventTypeNormal, v1alpha1.ReasonSucceeded, fmt.Sprintf("Release %s (sequence %d) of %s is live", live.Name, live.Status.Sequence, a.revision))
	}
	s.Status.LiveRelease, s.Status.Sequence, s.Status.LastAppliedRevision = live.Name, live.Status.Sequence, a.revision
	if live.Status.Rollout != nil && live.Status.Rollout.Phase == v1alpha1.RolloutHalted {
		conditions.MarkFalse(s, v1alpha1.ConditionReady, v1alpha1.ReasonRolloutHalted, "%s", live.Status.Rollout.Message)
		conditions.MarkStalled(s, v1alpha1.ReasonRolloutHalted, "%s", live.Status.Rollout.Message)
		return interval
	}
	conditions.MarkTrue(s, v1alpha1.ConditionReady, v1alpha1.ReasonSucceeded, "Release %s (sequence %d) of %s", live.Name, live.Status.Sequence, bounded(a.revision, 512))
	return interval
}

// patch writes the status once. It is this role's alone, of which one replica leads:
// nobody else's change can be lost.
func (r *Reconciler) patch(ctx context.Context, before, after *v1alpha1.PolicySync) error {
	err := r.Client.Status().Patch(ctx, after, client.MergeFrom(before))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of PolicySync %s: %w", after.Name, err)
	}
	return nil
}

// What the API server takes: of a condition 32 KiB, of an event's note 1 KiB.
const maxMessage, maxNote = 4 << 10, 1 << 10

func (r *Reconciler) event(o client.Object, kind, reason, note string) {
	r.Events.Eventf(o, nil, kind, reason, "Reconcile", "%s", bounded(note, maxNote))
}

func bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:most-3] + "..."
}

func duration(d *v1alpha1.Duration, unless time.Duration) time.Duration {
	if d == nil {
		return unless
	}
	parsed, err := time.ParseDuration(string(*d))
	if err != nil || parsed <= 0 {
		return unless // the API server has checked its shape
	}
	return parsed
}

// jitter spreads what would come at once by a twentieth.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Float64()*float64(d)/20)
}
