package follow

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// all is the one request: whatever changes, all releases are looked at.
var all = reconcile.Request{NamespacedName: client.ObjectKey{Name: "releases"}}

// Pauses after a failure.
const firstRetry, lastRetry = 200 * time.Millisecond, 10 * time.Second

// Watch has the manager call Update whenever a Release of a namespace changes, in
// every replica.
func (f *Follower) Watch(manager ctrl.Manager, namespace string) error {
	every := false
	err := ctrl.NewControllerManagedBy(manager).Named("deliver").
		WithOptions(controller.Options{
			NeedLeaderElection: &every,
			RateLimiter:        workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Watches(&v1alpha1.Release{}, handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
			return []reconcile.Request{all}
		})).
		Complete(reconcile.Func(func(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
			var list v1alpha1.ReleaseList
			if err := manager.GetClient().List(ctx, &list, client.InNamespace(namespace)); err != nil {
				return reconcile.Result{}, fmt.Errorf("listing releases: %w", err)
			}
			next, err := f.Update(ctx, list.Items, time.Now())
			return reconcile.Result{RequeueAfter: next}, err
		}))
	if err != nil {
		return fmt.Errorf("watching releases: %w", err)
	}
	return nil
}
