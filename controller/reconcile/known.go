package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	ctrlsource "sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// discovery is how often kinds are looked for whose CRD has come meanwhile.
const discovery = 10 * time.Second

// known are the objects of the cluster. They are watched from the first PolicySync on
// that asks for them: a mesh that comes from git alone pays nothing.
func (r *Reconciler) known() (*objects.Cache, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.objects != nil {
		return r.objects, nil
	}
	known, err := objects.NewCache(r.manager.GetConfig(), objects.CacheOptions{Log: r.Log, Discovery: discovery})
	if err != nil {
		return nil, fmt.Errorf("reading the objects of the cluster: %w", err)
	}
	writer, err := r.newConditionWriter()
	if err != nil {
		return nil, err
	}
	if err := r.manager.Add(manager.RunnableFunc(known.Run)); err != nil {
		return nil, err
	}
	if err := r.manager.Add(writer); err != nil {
		return nil, err
	}
	changes := ctrlsource.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		go r.follow(ctx, known.Changed(), queue)
		return nil
	})
	if err := r.control.Watch(changes); err != nil {
		return nil, err
	}
	r.objects, r.conditions = known, writer
	return known, nil
}

// newConditionWriter has a client of its own, so that many conditions do not take from
// what the role itself may ask of the API server.
func (r *Reconciler) newConditionWriter() (*conditionWriter, error) {
	c, err := client.New(rest.CopyConfig(r.manager.GetConfig()), client.Options{Scheme: r.manager.GetScheme(), Mapper: r.manager.GetRESTMapper()})
	if err != nil {
		return nil, err
	}
	return &conditionWriter{client: c, wanted: make(chan []objectConditions, 1), failed: func(m objects.Meta, err error) {
		r.Log.Warn("writing conditions", "object", m.String(), "error", err)
	}}, nil
}

// A burst of changes is one attempt: it begins when they are over, and no later than
// the second time says, so that a steady stream does not hold it up.
const quiet, atMost = 200 * time.Millisecond, time.Second

// follow asks for an attempt whenever objects changed.
func (r *Reconciler) follow(ctx context.Context, changed <-chan struct{}, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		settleDown(ctx, changed, quiet, atMost)
		var all v1alpha1.PolicySyncList
		if err := r.Client.List(ctx, &all, client.InNamespace(r.Namespace)); err != nil {
			r.Log.Error("listing PolicySyncs", "error", err)
			continue
		}
		for i := range all.Items {
			for _, s := range all.Items[i].Spec.Sources {
				if s.Cluster != nil {
					queue.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
					break
				}
			}
		}
	}
}

// settleDown waits until nothing has changed for a while, but not for ever.
func settleDown(ctx context.Context, changed <-chan struct{}, quiet, atMost time.Duration) {
	end, still := time.NewTimer(atMost), time.NewTimer(quiet)
	defer end.Stop()
	defer still.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-still.C:
			return
		case <-changed:
			still.Reset(quiet)
		}
	}
}

// order sorts objects.
func order(x, y objects.Meta) int { return strings.Compare(x.String(), y.String()) }
