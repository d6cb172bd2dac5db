package telemetry_test

import (
	"net/http"
	"testing"
)

// istioTelemetry logs errors and traces everything, in one namespace. The namespace's
// document is nearer than the mesh's.
const istioTelemetry = `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh, namespace: istio-system}
spec:
  accessLogging: [{providers: [{name: envoy}]}]
  tracing: [{providers: [{name: zipkin}], randomSamplingPercentage: 0}]
  metrics: [{providers: [{name: prometheus}]}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: shop, namespace: shop}
spec:
  accessLogging: [{providers: [{name: envoy}], filter: {expression: "response.code >= 400"}}]
  tracing:
  - providers: [{name: zipkin}]
    randomSamplingPercentage: 100
    customTags: {team: {literal: {value: shop}}, user: {header: {name: x-user, defaultValue: nobody}}}
`

// TestIstioTelemetry: the same proxies by Istio's documents.
func TestIstioTelemetry(t *testing.T) {
	zipkin := startZipkin(t)
	s := startWith(t, istioTelemetry, map[string]string{"obs/zipkin": zipkin})
	headers := s.send(t, http.Header{"X-User": {"ada"}})
	spans := waitFor(t, len(hops), func() ([]span, error) { return zipkinTrace(t.Context(), zipkin, headers.Get("X-B3-Traceid")) })
	isChain(t, spans, "", true)
	for _, s := range spans {
		if s.tags["team"] != "shop" || s.tags["user"] != "ada" {
			t.Errorf("the tags of %s %s are %v", s.kind, s.service, s.tags)
		}
	}
	s.four(t)
	got := s.lines(t, 2, jsonLine)
	if got["/fails"].Status != "500" || got["/admin"].Details != deniedBy {
		t.Errorf("errors are logged as %v", got)
	}
}
