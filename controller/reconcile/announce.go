package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
	"github.com/mesh-compile/mesh-compile/controller/quarantine"
)

// How much is said of quarantined objects: in the status, and by events of one attempt.
const maxQuarantined, maxQuarantinedMessage, maxQuarantinedEvents = 100, 512, 20

// announce says which objects of the cluster are held back, and why: in the status of
// the PolicySync, by events, and by conditions of the objects themselves.
func (r *Reconciler) announce(_ context.Context, a *attempt) error {
	s := a.sync
	if r.told == nil { // another process has told of these
		r.told = map[string]string{}
		for _, q := range s.Status.Quarantined {
			r.told[q.Object] = q.Message
		}
	}
	s.Status.Quarantined = nil
	if a.view == nil {
		return nil
	}
	told, news := map[string]string{}, 0
	for i := range a.settled.Held {
		h := &a.settled.Held[i]
		q := v1alpha1.QuarantinedObject{Object: h.Object.String(), Message: bounded(h.Message, maxQuarantinedMessage), InForce: h.InForce}
		if told[q.Object] = q.Message; len(s.Status.Quarantined) < maxQuarantined {
			s.Status.Quarantined = append(s.Status.Quarantined, q)
		}
		if r.told[q.Object] == q.Message {
			continue
		}
		if news++; news <= maxQuarantinedEvents {
			r.quarantined(a, h, q)
		}
	}
	if more := news - maxQuarantinedEvents; more > 0 {
		r.event(s, corev1.EventTypeWarning, v1alpha1.ReasonQuarantined, fmt.Sprintf("%d more objects are quarantined", more))
	}
	r.told = told
	r.conditions.want(conditionsOf(a))
	return nil
}

// quarantined tells of one object, where people look at it and where they look at the
// mesh.
func (r *Reconciler) quarantined(a *attempt, h *quarantine.Held, q v1alpha1.QuarantinedObject) {
	force := "it is left out"
	if q.InForce != "" {
		force = "version " + q.InForce + " is in force"
	}
	r.Log.Warn("object is quarantined", "object", q.Object, "inForce", q.InForce, "reason", q.Message)
	r.event(a.sync, corev1.EventTypeWarning, v1alpha1.ReasonQuarantined, fmt.Sprintf("%s (%s): %s", q.Object, force, q.Message))
	if _, there := a.view.current[h.Path]; there {
		note := bounded(fmt.Sprintf("%s: %s", force, q.Message), maxNote)
		r.Events.Eventf(identified(h.Object.Meta), corev1.EventTypeWarning, v1alpha1.ReasonQuarantined, "%s", note)
	}
}

// quarantineNote is what the condition Ready says of quarantined objects.
func quarantineNote(a *attempt) string {
	if a.settled == nil || len(a.settled.Held) == 0 {
		return ""
	}
	return fmt.Sprintf("; %d objects are quarantined: what was accepted last is in force (status.quarantined)", len(a.settled.Held))
}

// identified is an object of which only the name is known.
func identified(m objects.Meta) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	version := m.Version
	if m.Group != "" {
		version = m.Group + "/" + m.Version
	}
	u.SetAPIVersion(version)
	u.SetKind(m.Kind)
	u.SetNamespace(m.Namespace)
	u.SetName(m.Name)
	return u
}

// objectConditions are the conditions that an object should have.
type objectConditions struct {
	objects.Meta
	conditions []metav1.Condition
}

// conditionsOf lists the native policies whose conditions are not what they should be.
// Objects of other projects are theirs to say something about.
func conditionsOf(a *attempt) []objectConditions {
	held := map[string]string{}
	for _, h := range a.settled.Held {
		held[h.Path] = h.Message
	}
	var out []objectConditions
	for path, o := range a.view.current {
		if o.Group != v1alpha1.Group {
			continue
		}
		next := slices.Clone(o.Conditions)
		message, quarantined := held[path]
		changed := false
		for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionReady} {
			c := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "it is part of the newest release", ObservedGeneration: o.Generation}
			if quarantined {
				c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonQuarantined, bounded(message, maxMessage)
			}
			changed = apimeta.SetStatusCondition(&next, c) || changed
		}
		if changed {
			out = append(out, objectConditions{o.Meta, next})
		}
	}
	slices.SortFunc(out, func(x, y objectConditions) int { return order(x.Meta, y.Meta) })
	return out
}

// conditionOwner of the status of native policies.
const conditionOwner = "mesh-reconcile"

// conditionWriter writes conditions beside the attempts, which do not wait for it.
type conditionWriter struct {
	client client.Client
	wanted chan []objectConditions
	failed func(objects.Meta, error)
}

const conditionsAtOnce, conditionsAgain = 8, 5 * time.Second

// want replaces what is to be written.
func (w *conditionWriter) want(list []objectConditions) {
	select {
	case <-w.wanted:
	default:
	}
	w.wanted <- list // there is one sender
}

// Start writes until ctx ends. What could not be written is tried again, until
// something newer is wanted.
func (w *conditionWriter) Start(ctx context.Context) error {
	var left []objectConditions
	for {
		var again <-chan time.Time
		if len(left) > 0 {
			again = time.After(conditionsAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case left = <-w.wanted:
		case <-again:
		}
		left = w.writeAll(ctx, left)
	}
}

func (w *conditionWriter) writeAll(ctx context.Context, list []objectConditions) (left []objectConditions) {
	errs := make([]error, len(list))
	var g errgroup.Group
	g.SetLimit(conditionsAtOnce)
	for i := range list {
		if len(w.wanted) > 0 || ctx.Err() != nil {
			break // something newer is wanted
		}
		g.Go(func() error { errs[i] = w.write(ctx, &list[i]); return nil })
	}
	_ = g.Wait() // errors are kept by object
	for i, err := range errs {
		if err != nil {
			w.failed(list[i].Meta, err)
			left = append(left, list[i])
		}
	}
	return left
}

// write applies this role's part of a status. An object that is gone has none, and one
// that was made anew is judged anew.
func (w *conditionWriter) write(ctx context.Context, o *objectConditions) error {
	status := v1alpha1.ObjectStatus{ObservedGeneration: o.Generation}
	for _, c := range o.conditions {
		if c.Type == v1alpha1.ConditionAccepted || c.Type == v1alpha1.ConditionReady {
			status.Conditions = append(status.Conditions, c)
		}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return err
	}
	u := identified(o.Meta)
	if err := unstructured.SetNestedField(u.Object, o.UID, "metadata", "uid"); err != nil {
		return err
	}
	u.Object["status"] = fields
	err = w.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(conditionOwner), client.ForceOwnership)
	if apierrors.IsConflict(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}
