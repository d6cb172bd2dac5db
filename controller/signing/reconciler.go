package signing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/signer"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

// Reconciler signs the Releases of one namespace.
type Reconciler struct {
	Client    client.Client // its reads may be of a cache
	Reader    client.Reader // reads what is so now
	Namespace string
	Store     store.Store
	Signer    *signer.Signer
	Limits    Limits
	Events    events.EventRecorder
	Metrics   *Metrics
	Log       *slog.Logger

	last *artifact.Release // what the next one is read over
}

// lookAgain is the longest time between two looks without a reason: clocks are set,
// and a timer of months is one that nobody has seen end.
const lookAgain = time.Hour

// Reconcile signs what there is to sign, whatever it is called for. The cache says
// whether there may be something; what is signed, and above which number, is read
// anew.
func (r *Reconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	t, err := r.look(ctx, r.Client)
	if err == nil && t.release != nil {
		t, err = r.look(ctx, r.Reader)
	}
	switch {
	case err != nil:
		return ctrl.Result{}, err
	case t.release == nil:
		return ctrl.Result{RequeueAfter: untilRenewal(t.renewAt)}, nil
	}
	return r.do(ctx, t)
}

func untilRenewal(at time.Time) time.Duration {
	if at.IsZero() {
		return lookAgain
	}
	return min(max(time.Until(at), time.Millisecond), lookAgain)
}

// look picks what to sign of what a reader knows of Releases. What agents have shown
// comes again and again: the cache is good enough.
func (r *Reconciler) look(ctx context.Context, reader client.Reader) (task, error) {
	var releases v1alpha1.ReleaseList
	if err := reader.List(ctx, &releases, client.InNamespace(r.Namespace)); err != nil {
		return task{}, fmt.Errorf("listing Releases: %w", err)
	}
	var fleet v1alpha1.FleetReportList
	if err := r.Client.List(ctx, &fleet, client.InNamespace(r.Namespace)); err != nil {
		return task{}, fmt.Errorf("listing FleetReports: %w", err)
	}
	v := view{releases: releases.Items}
	for i := range fleet.Items {
		v.shown = max(v.shown, uint64(max(0, fleet.Items[i].HighestSequence)))
	}
	return pick(r.Signer.Root(), v, time.Now()), nil
}

// do signs a Release and says so. A content that is refused is not asked for again
// until something changes.
func (r *Reconciler) do(ctx context.Context, t task) (ctrl.Result, error) {
	s, reason, err := r.sign(ctx, t)
	if err == nil {
		if err := r.report(ctx, t.release, s, nil, v1alpha1.ReasonSucceeded); err != nil {
			return ctrl.Result{}, err
		}
		r.signed(t, s)
		return ctrl.Result{RequeueAfter: untilRenewal(signer.RenewAt(s.Doc))}, nil
	}
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err()
	}
	r.Metrics.failures.WithLabelValues(reason).Inc()
	r.Log.Error("a Release is not signed", "release", t.release.Name, "reason", err.Error())
	r.Events.Eventf(t.release, nil, corev1.EventTypeWarning, reason, "Sign", "%s", bounded(err.Error(), maxNote))
	if told := r.report(ctx, t.release, nil, err, reason); told != nil {
		return ctrl.Result{}, told
	}
	if errors.As(err, &refusal{}) {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, err
}

// sign returns the signed Release, or why there is none and its reason.
func (r *Reconciler) sign(ctx context.Context, t task) (*signer.Signed, string, error) {
	key, err := artifact.ParseDigest(t.release.Spec.Content)
	if err != nil {
		return nil, v1alpha1.ReasonSigningFailed, refusal{err}
	}
	content, err := r.Store.Get(ctx, key, r.last)
	if err != nil {
		return nil, v1alpha1.ReasonStoreFailed, err
	}
	r.last = content
	if err := r.Limits.check(content); err != nil {
		return nil, v1alpha1.ReasonVerificationFailed, err
	}
	n, err := r.next(ctx, t.highest)
	if err != nil {
		return nil, v1alpha1.ReasonSigningFailed, err
	}
	s, err := r.Signer.Sign(content, n, origin(&t.release.Spec), t.before, time.Now())
	if err != nil {
		return nil, v1alpha1.ReasonSigningFailed, err
	}
	return s, "", nil
}

// origin is what the document says of where the release came from.
func origin(spec *v1alpha1.ReleaseSpec) signer.Origin {
	o := signer.Origin{Commit: spec.Commit}
	if a := spec.Audience; a != nil {
		o.Audience.Environment = a.Environment
		for _, c := range a.Clusters {
			o.Audience.Clusters = append(o.Audience.Clusters, string(c))
		}
	}
	if spec.Validity != nil {
		o.Validity, _ = time.ParseDuration(string(*spec.Validity)) // the API server has checked its form
	}
	if d := spec.Diagnostics; d != nil {
		o.Findings = sign.Findings{Error: uint64(max(0, d.Errors)), Warning: uint64(max(0, d.Warnings))}
	}
	return o
}

// signed tells people.
func (r *Reconciler) signed(t task, s *signer.Signed) {
	r.Metrics.signed(s)
	r.Log.Info("signed a Release", "release", t.release.Name, "sequence", s.Doc.Sequence, "content", s.Doc.ContentDigest.String(),
		"commit", s.Doc.Source.Commit, "expires", s.Doc.ExpiresAt.Time, "why", t.why)
	r.Events.Eventf(t.release, nil, corev1.EventTypeNormal, v1alpha1.ConditionSigned, "Sign", "signed with sequence number %d, as %s", s.Doc.Sequence, t.why)
}

// signatureOf is the document as the status has it.
func signatureOf(s *signer.Signed) *v1alpha1.ReleaseSignature {
	return &v1alpha1.ReleaseSignature{
		Envelope: s.Release.Envelope(), Sequence: int64(s.Doc.Sequence), Digest: s.Digest.String(),
		Expires: metav1.NewTime(s.Doc.ExpiresAt.Time),
	}
}
