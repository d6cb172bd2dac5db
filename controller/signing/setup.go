package signing

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// SetupWithManager makes the manager call the reconciler when a Release comes, goes
// or gets another signature, and when agents show a higher number.
func (r *Reconciler) SetupWithManager(m ctrl.Manager) error {
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{}} // whatever changed, the question is the same
	})
	return ctrl.NewControllerManagedBy(m).Named("sign").
		Watches(&v1alpha1.Release{}, all, builder.WithPredicates(changed(envelopeOf))).
		Watches(&v1alpha1.FleetReport{}, all, builder.WithPredicates(changed(shownBy))).
		WithOptions(controller.Options{RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, 30*time.Second)}).
		Complete(r)
}

func envelopeOf(o client.Object) string {
	if s := o.(*v1alpha1.Release).Status.Signature; s != nil {
		return string(s.Envelope)
	}
	return ""
}

func shownBy(o client.Object) int64 { return o.(*v1alpha1.FleetReport).HighestSequence }

// changed passes updates by which a value is another. Counts of proxies change all
// the time, and are nothing to this role.
func changed[T comparable](of func(client.Object) T) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return of(e.ObjectOld) != of(e.ObjectNew) }}
}
