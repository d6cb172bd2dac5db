package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/mesh-compile/mesh-compile/controller/admission/webhook"
)

func TestHandler(t *testing.T) {
	const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","name":"NAME"}}`
	judge := func(_ context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
		if r.Name == "broken" {
			return nil, errors.New("no answer")
		}
		return &admissionv1.AdmissionResponse{Allowed: r.Name == "good"}, nil
	}
	h := webhook.NewHandler(judge, webhook.Options{})
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"allowed", strings.Replace(review, "NAME", "good", 1), http.StatusOK, `"uid":"u1","allowed":true`},
		{"refused", strings.Replace(review, "NAME", "bad", 1), http.StatusOK, `"uid":"u1","allowed":false`},
		{"no answer", strings.Replace(review, "NAME", "broken", 1), http.StatusInternalServerError, "no answer"},
		{"other version", strings.Replace(review, "/v1", "/v1beta1", 1), http.StatusBadRequest, "want an AdmissionReview"},
		{"no JSON", "{", http.StatusBadRequest, "reading the review"},
		{"too large", strings.Repeat(" ", webhook.MaxBody+1), http.StatusRequestEntityTooLarge, "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/validate", strings.NewReader(c.body)))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, c.status, c.want)
			}
		})
	}
}
