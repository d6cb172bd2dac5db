package signing

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/signer"
)

// FieldOwner is whose the signature, the sequence and the condition Signed are.
const FieldOwner = "mesh-sign"

// report applies what this role says of a Release. What it applied before and does
// not apply now the API server would remove, so a signature is in every report: the
// new one, or where err is why there is none, the one that is there.
func (r *Reconciler) report(ctx context.Context, release *v1alpha1.Release, s *signer.Signed, err error, reason string) error {
	now := metav1.NewTime(time.Now())
	condition := metav1.Condition{
		Type: v1alpha1.ConditionSigned, Status: metav1.ConditionTrue, Reason: reason,
		ObservedGeneration: release.Generation, LastTransitionTime: now,
	}
	signature, have := release.Status.Signature, release.Status.Signature
	switch {
	case err == nil:
		signature = signatureOf(s)
		condition.Message = fmt.Sprintf("signed with sequence number %d, until %s", s.Doc.Sequence, s.Doc.ExpiresAt.UTC().Format(time.RFC3339))
	case have != nil:
		condition.Message = fmt.Sprintf("the signature with sequence number %d stays: %v", have.Sequence, err)
	default:
		condition.Status, condition.Message = metav1.ConditionFalse, err.Error()
	}
	condition.Message = bounded(condition.Message, maxMessage)
	keepTransition(&condition, release.Status.Conditions)
	status := map[string]any{}
	if signature != nil {
		status["sequence"] = signature.Sequence
		if status["signature"], err = runtime.DefaultUnstructuredConverter.ToUnstructured(signature); err != nil {
			return err
		}
	}
	said, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&condition)
	if err != nil {
		return err
	}
	status["conditions"] = []any{said}
	return r.apply(ctx, release, status)
}

func (r *Reconciler) apply(ctx context.Context, release *v1alpha1.Release, status map[string]any) error {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.APIVersion, "kind": "Release", "status": status,
		// The UID keeps this from another Release of the same name.
		"metadata": map[string]any{"namespace": release.Namespace, "name": release.Name, "uid": string(release.UID)},
	}}
	err := r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing the status of Release %s: %w", release.Name, err)
	}
	return nil
}

// keepTransition keeps the time at which the status became what it is.
func keepTransition(c *metav1.Condition, old []metav1.Condition) {
	for _, o := range old {
		if o.Type == c.Type && o.Status == c.Status {
			c.LastTransitionTime = o.LastTransitionTime
		}
	}
}

// What the API server takes: of a condition 32 KiB, of an event's note 1 KiB.
const maxMessage, maxNote = 4 << 10, 1 << 10

// bounded cuts a message to a length.
func bounded(message string, most int) string {
	const more = "..."
	if len(message) > most {
		return strings.ToValidUTF8(message[:most-len(more)], "") + more
	}
	return message
}
