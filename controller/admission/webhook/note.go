package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Notes tells the log, the metrics and the API server's audit log of writes that are
// not judged. It admits all.
func Notes(m *Metrics, log *slog.Logger) Judge {
	return func(_ context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
		by := "namespace"
		if slices.Contains(r.UserInfo.Groups, breakGlassGroup) {
			by = "user"
		}
		if r.DryRun == nil || !*r.DryRun {
			m.breakGlass.WithLabelValues(by).Inc()
			log.Warn("a write was not judged: break-glass", "by", by, "user", r.UserInfo.Username, "operation", r.Operation,
				"kind", r.Kind.Kind, "group", r.Kind.Group, "namespace", r.Namespace, "name", r.Name)
		}
		return &admissionv1.AdmissionResponse{Allowed: true, AuditAnnotations: map[string]string{"break-glass": by}}, nil
	}
}

// reachedMessage is what a probe is refused with.
const reachedMessage = "mesh-compile: this is the webhook"

// Probed refuses the role's own write, which is a dry run, in words that only the
// webhook has: who sees them knows that the API server reaches it.
func Probed(_ context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	if r.DryRun == nil || !*r.DryRun {
		return &admissionv1.AdmissionResponse{Allowed: true}, nil
	}
	status := &metav1.Status{Status: metav1.StatusFailure, Code: 403, Reason: metav1.StatusReasonForbidden, Message: reachedMessage}
	return &admissionv1.AdmissionResponse{Result: status}, nil
}

// errNotReached says that nobody answered a probe: it was stored, had it not been a
// dry run.
var errNotReached = errors.New("the API server does not ask the webhook: look at the Service, network policies and firewalls between them")

// Reached reads what the API server says to a probe.
func Reached(err error) error {
	switch {
	case err == nil:
		return errNotReached
	case strings.Contains(err.Error(), reachedMessage):
		return nil
	}
	return fmt.Errorf("probing the webhook through the API server: %w", err)
}
