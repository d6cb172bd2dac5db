package reconcile

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/fleet"
	"github.com/mesh-compile/mesh-compile/controller/rollout"
)

// FieldOwner of the part of a Release's status that is this role's.
const FieldOwner = "mesh-reconcile"

// Rollouts takes the Releases of the namespace on, and removes the oldest.
type Rollouts struct{ *Reconciler }

// recount is how often proxies are counted again without a reason: their reports
// go stale by themselves.
const recount = 30 * time.Second

// Reconcile looks at all Releases, whatever it is called for.
func (r Rollouts) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	releases, err := r.releases(ctx, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	var reports v1alpha1.FleetReportList
	if err := r.Client.List(ctx, &reports, client.InNamespace(r.Namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing FleetReports: %w", err)
	}
	refused := map[string]error{}
	for i := range releases {
		if err := r.number(&releases[i]); err != nil {
			refused[releases[i].Name] = err
		}
	}
	now := time.Now()
	proxies := fleet.Merge(reports.Items, now)
	newest := rollout.Newest(releases)
	changed, after := r.changed(ctx, releases, newest), recount
	for i := range releases {
		superseded := newest != nil && newest.Name != releases[i].Name && number(&releases[i]) < number(newest)
		step := rollout.Advance(&releases[i], proxies, changed, superseded, now)
		if step.After > 0 {
			after = min(after, step.After)
		}
		if err := refused[releases[i].Name]; err != nil && step.Status.Phase == v1alpha1.RolloutPending {
			step.Status.Message = bounded(err.Error(), maxMessage)
		}
		if err := r.write(ctx, &releases[i], step, returned(releases, i)); err != nil {
			return ctrl.Result{}, err
		}
		releases[i].Status.Rollout = &step.Status
	}
	if err := r.giveBack(ctx, releases, proxies, changed); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: after}, r.forget(ctx, releases, newest)
}

// write applies this role's part of a status, if it changed. By is the Release that
// brought back another after this one failed, if any.
func (r Rollouts) write(ctx context.Context, release *v1alpha1.Release, step rollout.Step, by *v1alpha1.Release) error {
	next := release.DeepCopy()
	next.Status.Rollout, next.Status.Proxies = &step.Status, &step.Counts
	judge(next, by)
	if reflect.DeepEqual(next.Status, release.Status) {
		return nil
	}
	mine := v1alpha1.ReleaseStatus{
		ObservedGeneration: next.Generation, Rollout: next.Status.Rollout, Proxies: next.Status.Proxies,
	}
	if len(next.Spec.Envelope) > 0 { // else it is the sign role's
		mine.Sequence = next.Status.Sequence
	}
	for _, c := range next.Status.Conditions {
		if c.Type != v1alpha1.ConditionSigned { // the sign role's
			mine.Conditions = append(mine.Conditions, c)
		}
	}
	status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&mine)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.APIVersion, "kind": "Release", "status": status,
		"metadata": map[string]any{"namespace": release.Namespace, "name": release.Name, "uid": string(release.UID)},
	}}
	err = r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
	return client.IgnoreNotFound(err)
}

// judge sets the conditions that follow from the rollout.
func judge(r, by *v1alpha1.Release) {
	conditions.Delete(r, v1alpha1.ConditionReconciling)
	conditions.Delete(r, v1alpha1.ConditionStalled)
	message := r.Status.Rollout.Message
	if message == "" {
		message = fmt.Sprintf("wave %d of %d", r.Status.Rollout.Wave, r.Status.Rollout.Waves)
	}
	r.Status.ObservedGeneration = r.Generation
	switch r.Status.Rollout.Phase {
	case v1alpha1.RolloutComplete:
		conditions.MarkTrue(r, v1alpha1.ConditionRolledOut, v1alpha1.ReasonSucceeded, "every proxy that reports and that it changes runs it")
		conditions.MarkTrue(r, v1alpha1.ConditionReady, v1alpha1.ReasonSucceeded, "every proxy that reports and that it changes runs it")
	case v1alpha1.RolloutSuperseded:
		conditions.MarkFalse(r, v1alpha1.ConditionRolledOut, v1alpha1.ReasonSucceeded, "a newer Release is live")
		conditions.MarkTrue(r, v1alpha1.ConditionReady, v1alpha1.ReasonSucceeded, "a newer Release is live")
	case v1alpha1.RolloutHalted:
		reason := v1alpha1.ReasonRolloutHalted
		if by != nil {
			reason, message = v1alpha1.ReasonReturned, fmt.Sprintf("%s; Release %s brings back what Release %s has", message, by.Name, by.Spec.ReturnTo)
		}
		conditions.MarkFalse(r, v1alpha1.ConditionRolledOut, reason, "%s", message)
		conditions.MarkFalse(r, v1alpha1.ConditionReady, reason, "%s", message)
		conditions.MarkStalled(r, reason, "%s", message)
	case v1alpha1.RolloutPending:
		if len(r.Spec.Envelope) > 0 {
			conditions.MarkFalse(r, v1alpha1.ConditionReady, v1alpha1.ReasonVerificationFailed, "%s", message)
			conditions.MarkStalled(r, v1alpha1.ReasonVerificationFailed, "%s", message)
			break
		}
		conditions.MarkFalse(r, v1alpha1.ConditionReady, v1alpha1.ReasonAwaitingSignature, "it waits for the sign role")
		conditions.MarkReconciling(r, v1alpha1.ReasonAwaitingSignature, "it waits for the sign role")
	default:
		conditions.MarkFalse(r, v1alpha1.ConditionRolledOut, v1alpha1.ReasonRollingOut, "%s", message)
		conditions.MarkFalse(r, v1alpha1.ConditionReady, v1alpha1.ReasonRollingOut, "%s", message)
		conditions.MarkReconciling(r, v1alpha1.ReasonRollingOut, "%s", message)
	}
	setGeneration(r)
}

func setGeneration(r *v1alpha1.Release) {
	for i := range r.Status.Conditions {
		if r.Status.Conditions[i].ObservedGeneration == 0 {
			r.Status.Conditions[i].ObservedGeneration = r.Generation
		}
		if r.Status.Conditions[i].LastTransitionTime.IsZero() {
			r.Status.Conditions[i].LastTransitionTime = metav1.Now()
		}
	}
}

const defaultHistory = 10

// forget deletes the oldest Releases over the limit, and the contents that none
// has any more. What is live, and what proxies fall back to, stays.
func (r Rollouts) forget(ctx context.Context, releases []v1alpha1.Release, newest *v1alpha1.Release) error {
	if newest == nil {
		return nil
	}
	var sync v1alpha1.PolicySync
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: string(newest.Spec.Sync)}, &sync); err != nil {
		return client.IgnoreNotFound(err)
	}
	limit := defaultHistory
	if sync.Spec.HistoryLimit != nil {
		limit = int(*sync.Spec.HistoryLimit)
	}
	fallback := rollout.Fallback(releases, newest.Status.Sequence)
	deleted := false
	for i := range releases {
		o := &releases[i]
		old := len(releases)-i > limit && o.Name != newest.Name && (fallback == nil || o.Name != fallback.Name)
		if old {
			if err := r.Client.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting Release %s: %w", o.Name, err)
			}
			deleted = true
		}
	}
	if !deleted {
		return nil
	}
	return r.collect(ctx)
}

// collect removes the contents that no Release has. One that is being published has
// none yet.
func (r Rollouts) collect(ctx context.Context) error {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	releases, err := r.releases(ctx, r.Reader)
	if err != nil {
		return err
	}
	var keep []artifact.Digest
	for i := range releases {
		for _, text := range []string{releases[i].Spec.Content, releases[i].Spec.Accepted} {
			if text == "" {
				continue // it is of no objects of the cluster
			}
			key, err := artifact.ParseDigest(text)
			if err != nil {
				return fmt.Errorf("reading the content of Release %s: %w", releases[i].Name, err)
			}
			keep = append(keep, key)
		}
	}
	return r.Store.Keep(ctx, keep)
}
