package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

// publish stores the content and makes its Release. Both can be done again after a
// death in between: the store knows contents by their digests, and the newest
// Release says whether it is this one.
func (r *Reconciler) publish(ctx context.Context, a *attempt) error {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	content := a.result.Release
	if err := r.Store.Put(ctx, content); err != nil {
		return retry(v1alpha1.ReasonStoreFailed, fmt.Errorf("storing the release: %w", err))
	}
	releases, err := r.releases(ctx, r.Reader)
	if err != nil {
		return retry(v1alpha1.ReasonProgressingRetry, err)
	}
	key := store.Key(content).String()
	if a.had(releases, key) && r.stored(a) {
		r.accept(a)
		return nil
	}
	if spreads := a.waitsFor(releases); spreads != nil {
		return waits(v1alpha1.ReasonRollingOut, fmt.Errorf("until Release %s has spread over its waves, what changed since then waits; kubectl annotate policysync %s %s=$(date +%%s) ends the wait", spreads.Name, a.sync.Name, meta.ReconcileRequestAnnotation))
	}
	objects, err := r.storeAccepted(ctx, a)
	if err != nil {
		return retry(v1alpha1.ReasonStoreFailed, fmt.Errorf("storing the objects that the release is made of: %w", err))
	}
	a.release = r.newRelease(a, key, releases)
	a.release.Spec.Workloads, a.release.Spec.Accepted = int32(len(content.Leaves())), objects
	if err := r.create(ctx, a); err != nil {
		return err
	}
	r.contents.note(content)
	r.accept(a)
	return nil
}

// waitsFor returns the Release that must have spread before one of other objects of the
// cluster is made: whoever writes one of them all the time would otherwise keep every
// Release in its first wave. A commit is made by people, and takes the place of the last.
func (a *attempt) waitsFor(releases []v1alpha1.Release) *v1alpha1.Release {
	if len(releases) == 0 || a.view == nil || requested(a.sync) {
		return nil
	}
	newest := &releases[len(releases)-1]
	if newest.Spec.Rollout == nil { // everybody gets it at once
		return nil
	}
	if phase := phaseOf(newest); phase != v1alpha1.RolloutProgressing && phase != v1alpha1.RolloutPaused {
		return nil
	}
	return newest
}

// create makes the Release of an attempt.
func (r *Reconciler) create(ctx context.Context, a *attempt) error {
	if err := r.Client.Create(ctx, a.release); err != nil {
		if apierrors.IsAlreadyExists(err) {
			err = fmt.Errorf("another replica makes Releases too: %w", err)
		}
		return retry(v1alpha1.ReasonProgressingRetry, fmt.Errorf("making Release %s: %w", a.release.Name, err))
	}
	r.Log.Info("release is made", "release", a.release.Name, "revision", a.revision, "content", a.release.Spec.Content)
	return nil
}

func (r *Reconciler) newRelease(a *attempt, key string, before []v1alpha1.Release) *v1alpha1.Release {
	next := int64(1)
	if n := len(before); n > 0 {
		next = number(&before[n-1]) + 1
	}
	spec := a.sync.Spec
	out := &v1alpha1.Release{}
	out.Namespace, out.Name = a.sync.Namespace, a.sync.Name+"-"+strconv.FormatInt(next, 10)
	out.Labels = map[string]string{"app.kubernetes.io/part-of": "mesh-compile"}
	out.Spec = v1alpha1.ReleaseSpec{
		Sync: v1alpha1.Name(a.sync.Name), Revision: bounded(a.revision, 4096), Commit: a.commit, Content: key,
		Audience: spec.Audience, Validity: spec.Validity, Rollout: spec.Rollout,
		Diagnostics: a.sync.Status.Diagnostics.DeepCopy(),
	}
	return out
}

// releases lists all Releases, oldest first.
func (r *Reconciler) releases(ctx context.Context, reader client.Reader) ([]v1alpha1.Release, error) {
	var list v1alpha1.ReleaseList
	if err := reader.List(ctx, &list, client.InNamespace(r.Namespace)); err != nil {
		return nil, fmt.Errorf("listing Releases: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Release) int {
		return cmp.Or(cmp.Compare(number(&a), number(&b)), strings.Compare(a.Name, b.Name))
	})
	return list.Items, nil
}

// number is what counts up in the name of a Release.
func number(r *v1alpha1.Release) int64 {
	n, err := strconv.ParseInt(r.Name[strings.LastIndexByte(r.Name, '-')+1:], 10, 64)
	if err != nil {
		return 0 // nobody made it who counts
	}
	return n
}
