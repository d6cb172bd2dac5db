package webhook_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/mesh-compile/mesh-compile/controller/admission/webhook"
)

// TestSlow: connections on which a body never comes, small or large, keep no review
// out.
func TestSlow(t *testing.T) {
	arrived := make(chan struct{}, 100)
	h := webhook.NewHandler(func(context.Context, *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
		return &admissionv1.AdmissionResponse{Allowed: true}, nil
	}, webhook.Options{Timeout: time.Minute})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	trust := s.Client().Transport.(*http.Transport).TLSClientConfig
	for i := range webhook.DefaultConcurrent {
		c, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{RootCAs: trust.RootCAs, ServerName: "example.com"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /review HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat(" ", i%2*100_000))
		<-arrived
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	begun := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"x"}}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if took := time.Since(begun); resp.StatusCode != http.StatusOK || took > 1500*time.Millisecond {
		t.Errorf("a review is answered with %s after %s", resp.Status, took)
	}
}
