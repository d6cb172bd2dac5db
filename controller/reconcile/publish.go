package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

// publish stores the content and makes its Release. Both can be done again after a
// death in between: the store knows contents by their digests, and the newest
// Release says whether it is this one.
func (r *Reconciler) publish(ctx context.Context, a *attempt) error {
	content := a.result.Release
	if err := r.Store.Put(ctx, content); err != nil {
		return retry(v1alpha1.ReasonStoreFailed, fmt.Errorf("storing the release: %w", err))
	}
	releases, err := r.releases(ctx, r.Reader)
	if err != nil {
		return retry(v1alpha1.ReasonProgressingRetry, err)
	}
	key := store.Key(content).String()
	if n := len(releases); n > 0 && releases[n-1].Spec.Content == key && releases[n-1].Spec.Sync == v1alpha1.Name(a.sync.Name) {
		a.release = &releases[n-1] // the same policies, whatever their revision
		return nil
	}
	a.release = r.newRelease(a, key, releases)
	if err := r.Client.Create(ctx, a.release); err != nil {
		if apierrors.IsAlreadyExists(err) {
			err = fmt.Errorf("another replica makes Releases too: %w", err)
		}
		return retry(v1alpha1.ReasonProgressingRetry, fmt.Errorf("making Release %s: %w", a.release.Name, err))
	}
	r.Log.Info("release is made", "release", a.release.Name, "revision", a.revision, "content", key)
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
		Workloads: int32(len(a.result.Release.Leaves())), Diagnostics: a.sync.Status.Diagnostics.DeepCopy(),
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
