// Package reconcile is the reconcile role: it turns what Flux sources and this cluster
// hold into Releases, and says how they spread.
//
// In go PolicySyncs, artifacts of Flux sources, objects of the cluster or releases that
// were signed in CI, and what proxies report; out come contents in the release store, Release objects,
// conditions and events, and the evaluated policies as an ExternalArtifact of Flux.
// The role has no key: what it publishes is nobody's until the sign role, or CI, has
// signed it. Policies with an error never replace what is live: a source is refused
// whole, and objects of the cluster are held back as package quarantine says.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	runtimectrl "github.com/fluxcd/pkg/runtime/controller"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
	"github.com/mesh-compile/mesh-compile/controller/quarantine"
	"github.com/mesh-compile/mesh-compile/controller/rollout"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

// Reconciler makes Releases of the PolicySync of one namespace.
type Reconciler struct {
	Client    client.Client // its reads may be of a cache
	Reader    client.Reader // reads what is so now
	Namespace string
	Store     store.Store
	Root      *sign.TrustedRoot
	Archives  *Archives
	Events    record.EventRecorder // Kubernetes' events, and Flux's notifications
	Metrics   *Metrics
	Durations runtimectrl.Metrics // by Flux's names
	Log       *slog.Logger

	control   controller.Controller
	manager   ctrl.Manager
	watched   map[schema.GroupVersionKind]bool // kinds of Flux
	compiling chan struct{}                    // held while a compilation runs, those that were given up too
	pulled    pulled

	objects    *objects.Cache // of the cluster, where a PolicySync asks for them
	accepted   accepted
	conditions *conditionWriter
	contents   contents
	told       map[string]string // why objects are quarantined, by name

	publishing sync.Mutex // held from a content to its Release: without one it is garbage

	mu       sync.Mutex
	previous *compiler.Result
}

// fault is why an attempt ended, and what comes next.
type fault struct {
	reason  string
	err     error
	stalled bool // no retry mends it: somebody has to change something
	waits   bool // nothing is wrong
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func retry(reason string, err error) error { return &fault{reason: reason, err: err} }
func stall(reason string, err error) error { return &fault{reason: reason, err: err, stalled: true} }
func waits(reason string, err error) error { return &fault{reason: reason, err: err, waits: true} }

// attempt is one reconciliation on its way through the steps.
type attempt struct {
	sync     *v1alpha1.PolicySync
	sources  []source
	view     *view // of the cluster, where it is a source
	settled  *quarantine.Outcome
	revision string
	commit   string
	result   *compiler.Result
	signed   *artifact.Release // in CI
	accepted *sign.Accepted    // what its envelope says
	releases []v1alpha1.Release
	release  *v1alpha1.Release
	failed   *v1alpha1.Release // that release was made for, to bring back what was before
	cleanup  []func()
}

// steps of policies that are compiled here, in order; the first that fails ends the
// attempt.
var steps = []func(*Reconciler, context.Context, *attempt) error{
	(*Reconciler).alone,
	(*Reconciler).disown,
	(*Reconciler).supported,
	(*Reconciler).dependencies,
	(*Reconciler).find,
	(*Reconciler).compile,
	(*Reconciler).publish,
	(*Reconciler).announce,
	(*Reconciler).export,
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
	before, begun := sync.DeepCopy(), time.Now()
	defer func() { r.Durations.RecordDuration(ctx, &sync, begun) }()
	a := &attempt{sync: &sync}
	err := r.run(ctx, a)
	for _, f := range a.cleanup {
		f()
	}
	if err != nil {
		if err := r.withdraw(ctx, &sync); err != nil {
			r.Log.Error("an archive that is gone is still named", "sync", sync.Name, "error", err)
		}
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
	todo := steps
	if a.sync.Spec.Release != nil {
		todo = signedSteps
	} else {
		conditions.Delete(a.sync, v1alpha1.ConditionSourceVerified)
	}
	for _, step := range todo {
		if a.revision != "" {
			a.sync.Status.LastAttemptedRevision = a.revision
		}
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
	for _, source := range s.Sources {
		if source.Cluster == nil && source.OnError == v1alpha1.OnErrorQuarantine {
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
	if f.stalled {
		s.Status.ObservedGeneration = s.Generation
		r.stalled(s, f.reason, message)
		return interval
	}
	if f.waits {
		r.progressing(s, f.reason, message)
		return interval
	}
	r.tell(s, f.reason, message)
	conditions.MarkFalse(s, v1alpha1.ConditionReady, f.reason, "%s", message)
	conditions.MarkReconciling(s, v1alpha1.ReasonProgressingRetry, "%s", message)
	return jitter(duration(s.Spec.RetryInterval, min(interval, 30*time.Second)))
}

// reportRelease says how far the release of the newest revision is.
func (r *Reconciler) reportRelease(a *attempt, interval time.Duration) time.Duration {
	s, live := a.sync, a.release
	if !rollout.Signed(live) {
		r.progressing(s, v1alpha1.ReasonAwaitingSignature, fmt.Sprintf("Release %s waits for the sign role", live.Name))
		return interval
	}
	applied := a.revision
	if a.failed != nil {
		applied = live.Spec.Revision
	}
	if s.Status.LiveRelease != live.Name || s.Status.LastAppliedRevision != applied {
		r.event(s, corev1.EventTypeNormal, v1alpha1.ReasonSucceeded, fmt.Sprintf("Release %s (sequence %d) of %s is live", live.Name, live.Status.Sequence, applied))
	}
	s.Status.LiveRelease, s.Status.Sequence, s.Status.LastAppliedRevision = live.Name, live.Status.Sequence, applied
	switch phase := phaseOf(live); {
	case a.failed != nil:
		r.stalled(s, v1alpha1.ReasonReturned, fmt.Sprintf("Release %s failed (%s); Release %s (sequence %d) brings back what Release %s has",
			a.failed.Name, messageOf(a.failed), live.Name, live.Status.Sequence, live.Spec.ReturnTo))
	case phase == v1alpha1.RolloutHalted:
		r.stalled(s, v1alpha1.ReasonRolloutHalted, live.Status.Rollout.Message)
	case phase != v1alpha1.RolloutComplete:
		r.progressing(s, v1alpha1.ReasonRollingOut, strings.TrimSuffix(fmt.Sprintf("Release %s (sequence %d) is on its way: %s", live.Name, live.Status.Sequence, messageOf(live)), ": "))
	default:
		conditions.MarkTrue(s, v1alpha1.ConditionReady, v1alpha1.ReasonSucceeded, "Release %s (sequence %d) of %s%s", live.Name, live.Status.Sequence, bounded(applied, 512), quarantineNote(a))
	}
	return interval
}

func phaseOf(r *v1alpha1.Release) v1alpha1.RolloutPhase {
	if r.Status.Rollout == nil {
		return v1alpha1.RolloutPending
	}
	return r.Status.Rollout.Phase
}

func messageOf(r *v1alpha1.Release) string {
	if r.Status.Rollout == nil {
		return ""
	}
	return r.Status.Rollout.Message
}

func (r *Reconciler) progressing(s *v1alpha1.PolicySync, reason, message string) {
	message = bounded(message, maxMessage)
	conditions.MarkFalse(s, v1alpha1.ConditionReady, reason, "%s", message)
	conditions.MarkReconciling(s, reason, "%s", message)
}

// stalled waits for somebody, who is told once.
func (r *Reconciler) stalled(s *v1alpha1.PolicySync, reason, message string) {
	message = bounded(message, maxMessage)
	r.tell(s, reason, message)
	conditions.MarkFalse(s, v1alpha1.ConditionReady, reason, "%s", message)
	conditions.MarkStalled(s, reason, "%s", message)
}

// tell sends a warning that is not what the condition Ready says already.
func (r *Reconciler) tell(s *v1alpha1.PolicySync, reason, message string) {
	if old := conditions.Get(s, v1alpha1.ConditionReady); old == nil || old.Reason != reason || old.Message != message {
		r.event(s, corev1.EventTypeWarning, reason, message)
		r.Log.Error("the policies do not become live", "sync", s.Name, "revision", s.Status.LastAttemptedRevision, "reason", reason, "error", message)
	}
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
	notes := map[string]string{}
	switch o := o.(type) {
	case *v1alpha1.PolicySync:
		notes[revisionKey] = o.Status.LastAttemptedRevision
	case *v1alpha1.Release:
		notes[revisionKey] = o.Spec.Revision
	}
	r.Events.AnnotatedEventf(o, notes, kind, reason, "%s", bounded(note, maxNote))
}

// revisionKey is where notification-controller looks for the revision: below the group
// of the object.
const revisionKey = "mesh-compile.dev/revision"

func bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	cut := most - len("...")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut-- // half a character would not be stored as it is
	}
	return text[:cut] + "..."
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
