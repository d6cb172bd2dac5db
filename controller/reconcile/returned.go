package reconcile

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/rollout"
)

// giveBack makes a Release of the last complete content where the newest one failed
// and its settings say so. Its number follows, so that a newer one that somebody made
// meanwhile is in its way; the sign role signs it as it does any newest Release.
func (r Rollouts) giveBack(ctx context.Context, releases []v1alpha1.Release, proxies []v1alpha1.ProxyReport, changed rollout.Changed) error {
	failed, to := rollout.Return(releases, proxies, changed, time.Now())
	if to == nil {
		return nil
	}
	back := &v1alpha1.Release{Spec: *to.Spec.DeepCopy()}
	back.Namespace, back.Name = failed.Namespace, string(failed.Spec.Sync)+"-"+strconv.FormatInt(number(failed)+1, 10)
	back.Labels = failed.Labels
	back.Spec.Sync, back.Spec.Audience, back.Spec.Validity = failed.Spec.Sync, failed.Spec.Audience, failed.Spec.Validity
	back.Spec.Envelope, back.Spec.Rollout, back.Spec.ReturnTo = nil, nil, v1alpha1.Name(to.Name)
	if err := r.Client.Create(ctx, back); err != nil {
		return client.IgnoreAlreadyExists(err)
	}
	note := fmt.Sprintf("Release %s failed; Release %s brings back what Release %s has", failed.Name, back.Name, to.Name)
	r.event(failed, corev1.EventTypeWarning, v1alpha1.ReasonReturned, note)
	r.Log.Error("a rollout failed and goes back", "failed", failed.Name, "release", back.Name, "returnTo", to.Name)
	return nil
}

// returned is the Release that was made because one of a list failed, nil where there is
// none.
func returned(releases []v1alpha1.Release, i int) *v1alpha1.Release {
	if i+1 < len(releases) && releases[i+1].Spec.ReturnTo != "" && number(&releases[i+1]) == number(&releases[i])+1 {
		return &releases[i+1]
	}
	return nil
}

// had finds the Release that a content has: the newest one, or the one that took its
// place after it failed. What failed is tried again when somebody asks for it, or
// after other policies.
func (a *attempt) had(releases []v1alpha1.Release, key string) bool {
	n := len(releases)
	if n == 0 || releases[n-1].Spec.Sync != v1alpha1.Name(a.sync.Name) || len(releases[n-1].Spec.Envelope) > 0 {
		return false
	}
	newest := &releases[n-1]
	switch {
	case newest.Spec.Content == key: // whatever its revision
		if phaseOf(newest) == v1alpha1.RolloutHalted && requested(a.sync) {
			return false
		}
	case n > 1 && returned(releases, n-2) != nil && releases[n-2].Spec.Content == key:
		if requested(a.sync) {
			return false
		}
		a.failed = &releases[n-2]
	default:
		return false
	}
	a.release = newest
	return true
}

// requested reports whether somebody asks for an attempt that there has not been.
func requested(s *v1alpha1.PolicySync) bool {
	at, ok := meta.ReconcileAnnotationValue(s.Annotations)
	return ok && at != s.Status.LastHandledReconcileAt
}
