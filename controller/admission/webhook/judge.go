package webhook

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/mesh-compile/mesh-compile/controller/admission"
)

// ModeLabel of a namespace says what becomes of a verdict there.
const ModeLabel = "mesh-compile.dev/admission"

// Modes. Enforce refuses, warn admits with warnings, audit admits and notes the
// findings in the audit log.
const (
	Enforce = "enforce"
	Warn    = "warn"
	Audit   = "audit"
)

// Reviews answers by a Reviewer's verdicts, in the mode of the namespace. Labels
// returns those of a namespace.
func Reviews(r *admission.Reviewer, labels func(namespace string) map[string]string, defaultMode string, m *Metrics) Judge {
	return func(ctx context.Context, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
		begun := time.Now()
		mode, problem := modeOf(labels(request.Namespace), defaultMode)
		q, err := read(request)
		if err != nil {
			return nil, err
		}
		verdict, err := r.Review(ctx, q)
		m.reviewed(q.Group, mode, verdict, err, time.Since(begun))
		if err != nil {
			return nil, err
		}
		return answer(verdict, mode, problem), nil
	}
}

// read turns a request of the API server into one of the reviewer.
func read(r *admissionv1.AdmissionRequest) (q admission.Request, err error) {
	q = admission.Request{
		Operation: string(r.Operation), Group: r.Kind.Group, Version: r.Kind.Version, Kind: r.Kind.Kind,
		Namespace: r.Namespace, Name: r.Name, DryRun: r.DryRun != nil && *r.DryRun,
	}
	if q.Object, err = object(r.Object.Raw); err != nil {
		return q, fmt.Errorf("reading the object under review: %w", err)
	}
	if q.Old, err = object(r.OldObject.Raw); err != nil {
		return q, fmt.Errorf("reading what the object was: %w", err)
	}
	if q.Name == "" && q.Object != nil {
		q.Name = q.Object.GetName() // what the API server made of generateName, before it asks
	}
	if q.Name == "" && q.Object != nil { // it will be one that nothing has
		q.Name = q.Object.GetGenerateName() + string(r.UID)
		q.Object.SetName(q.Name)
	}
	if q.Kind == "Namespace" {
		q.Namespace = "" // it is in none, though the request names itself
	}
	return q, nil
}

func object(raw []byte) (*unstructured.Unstructured, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	u := &unstructured.Unstructured{}
	return u, u.UnmarshalJSON(raw)
}

// modeOf reads the label of a namespace. A misspelt one enforces, and says so.
func modeOf(labels map[string]string, unless string) (mode, problem string) {
	switch value, ok := labels[ModeLabel]; {
	case !ok:
		return unless, ""
	case value == Enforce, value == Warn, value == Audit:
		return value, ""
	default:
		return Enforce, fmt.Sprintf("label %s of the namespace is %q: want %s, %s or %s; it enforces", ModeLabel, value, Enforce, Warn, Audit)
	}
}

func answer(v admission.Verdict, mode, problem string) *admissionv1.AdmissionResponse {
	out := &admissionv1.AdmissionResponse{Allowed: true, Warnings: v.Warnings}
	if problem != "" {
		out.Warnings = append(out.Warnings, problem)
	}
	if v.Allowed {
		return out
	}
	out.AuditAnnotations = map[string]string{"mode": mode, "findings": v.Message}
	switch mode {
	case Audit:
		out.Warnings = nil
	case Warn:
		out.Warnings = append(out.Warnings, v.Message)
	default:
		out.Allowed = false
		out.Result = &metav1.Status{Status: metav1.StatusFailure, Code: 403, Reason: metav1.StatusReasonForbidden, Message: v.Message}
	}
	return out
}
