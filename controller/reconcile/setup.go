package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fluxcd/pkg/runtime/predicates"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	ctrlsource "sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
)

// SetupWithManager adds the two loops: policies to Releases, and Releases to
// proxies.
func (r *Reconciler) SetupWithManager(m ctrl.Manager) (err error) {
	r.manager, r.watched, r.compiling = m, map[schema.GroupVersionKind]bool{}, make(chan struct{}, 1)
	limiter := controller.Options{RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, 30*time.Second)}
	r.control, err = ctrl.NewControllerManagedBy(m).Named("policysync").
		For(&v1alpha1.PolicySync{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}))).
		Watches(&v1alpha1.Release{}, handler.EnqueueRequestsFromMapFunc(syncOf), builder.WithPredicates(signedOrOver())).
		WithOptions(limiter).Build(r)
	if err != nil {
		return err
	}
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{}} // whatever changed, the question is the same
	})
	return ctrl.NewControllerManagedBy(m).Named("release").
		Watches(&v1alpha1.Release{}, all).
		Watches(&v1alpha1.FleetReport{}, all).
		WithOptions(limiter).Complete(Rollouts{r})
}

func syncOf(_ context.Context, o client.Object) []reconcile.Request {
	r := o.(*v1alpha1.Release)
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: r.Namespace, Name: string(r.Spec.Sync)}}}
}

// signedOrOver passes what the status of a PolicySync says: a new signature, or
// another phase. Counts of proxies change all the time.
func signedOrOver() predicate.Predicate {
	key := func(o client.Object) string {
		s := o.(*v1alpha1.Release).Status
		phase := v1alpha1.RolloutPhase("")
		if s.Rollout != nil {
			phase = s.Rollout.Phase
		}
		return fmt.Sprint(s.Sequence, s.Signature != nil, phase)
	}
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool { return key(e.ObjectOld) != key(e.ObjectNew) },
	}
}

// watch begins to watch a kind of Flux sources, once: its CRD may have come after
// this process.
func (r *Reconciler) watch(kind schema.GroupVersionKind, changed predicate.TypedPredicate[client.Object]) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watched[kind] {
		return nil
	}
	if _, err := r.manager.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version); err != nil {
		return fmt.Errorf("looking for %s of Flux: %w", kind.Kind, err)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	err := r.control.Watch(ctrlsource.Kind(r.manager.GetCache(), client.Object(u), handler.EnqueueRequestsFromMapFunc(r.syncsOf), changed))
	if err != nil {
		return fmt.Errorf("watching %s of Flux: %w", kind.Kind, err)
	}
	r.watched[kind] = true
	return nil
}

// syncsOf are the PolicySyncs that name an object.
func (r *Reconciler) syncsOf(ctx context.Context, o client.Object) []reconcile.Request {
	var all v1alpha1.PolicySyncList
	if err := r.Client.List(ctx, &all, client.InNamespace(r.Namespace)); err != nil {
		r.Log.Error("listing PolicySyncs", "error", err)
		return nil
	}
	changed := fluxObject{o.GetObjectKind().GroupVersionKind().GroupKind(), client.ObjectKeyFromObject(o)}
	var out []reconcile.Request
	for i := range all.Items {
		if slices.Contains(named(&all.Items[i]), changed) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return out
}

// fluxObject names one object of Flux. Who may make others of its name, in namespaces or
// of kinds of their own, must not wake anybody.
type fluxObject struct {
	kind schema.GroupKind
	key  client.ObjectKey
}

// named are the objects of Flux that a PolicySync names.
func named(s *v1alpha1.PolicySync) (out []fluxObject) {
	sources := s.Spec.Sources
	if s.Spec.Release != nil {
		sources = append(slices.Clip(sources), v1alpha1.PolicySource{SourceRef: s.Spec.Release.SourceRef})
	}
	for i := range sources {
		if ref := sources[i].SourceRef; ref != nil {
			out = append(out, fluxObject{sourceVersion.WithKind(ref.Kind).GroupKind(), sourceKey(s.Namespace, ref)})
		}
	}
	for _, d := range s.Spec.DependsOn {
		kind, key := dependencyOf(s.Namespace, d)
		out = append(out, fluxObject{kind.GroupKind(), key})
	}
	return out
}

// becameReady passes what a dependency is waited for.
func becameReady() predicate.TypedPredicate[client.Object] {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return ready(e.ObjectNew.(*unstructured.Unstructured)) && !ready(e.ObjectOld.(*unstructured.Unstructured))
	}}
}

func artifactChanged() predicate.TypedPredicate[client.Object] {
	digest := func(o client.Object) string {
		text, _, _ := unstructured.NestedString(o.(*unstructured.Unstructured).Object, "status", "artifact", "digest")
		revision, _, _ := unstructured.NestedString(o.(*unstructured.Unstructured).Object, "status", "artifact", "revision")
		return text + revision
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return digest(e.ObjectOld) != digest(e.ObjectNew) }}
}
