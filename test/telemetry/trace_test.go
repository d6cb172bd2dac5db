// Package telemetry proves what proxies tell of requests: one request through three
// services is one trace in a real Zipkin and at a real receiver of OpenTelemetry's
// protocol, access logs are lines that can be read, and a real Prometheus computes
// the rates of a known load from what Envoy counts.
package telemetry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// span is a part of a trace, in whatever form it was sent.
type span struct {
	trace, id, parent string
	kind              string // "CLIENT" or "SERVER"
	service           string
	tags              map[string]string
}

// hops are the spans of a request that front sends to order, which asks catalog,
// which asks stock. Each hop is seen by the proxies of both ends.
var hops = []string{
	"CLIENT shop/front", "SERVER shop/order",
	"CLIENT shop/order", "SERVER shop/catalog",
	"CLIENT shop/catalog", "SERVER shop/stock",
}

// TestZipkin: B3, and the spans of both ends of a hop share an id, as Zipkin's
// instrumentation has it.
func TestZipkin(t *testing.T) {
	zipkin := startZipkin(t)
	for _, propagation := range []string{"b3", "b3-w3c"} {
		t.Run(propagation, func(t *testing.T) {
			s := startShop(t, "tracing: {provider: zipkin, percent: 100, propagation: "+propagation+
				", tags: [{name: team, literal: shop}, {name: user, header: {name: x-user, default: nobody}}]}",
				map[string]string{"obs/zipkin": zipkin})
			headers := s.send(t, http.Header{"X-User": {"ada"}})
			id := headers.Get("X-B3-Traceid")
			if got := headers.Get("Traceparent") != ""; got != (propagation == "b3-w3c") {
				t.Errorf("traceparent is sent: %v", got)
			}
			spans := waitFor(t, len(hops), func() ([]span, error) { return zipkinTrace(t.Context(), zipkin, id) })
			isChain(t, spans, "", true)
			for _, s := range spans {
				if s.tags["team"] != "shop" || s.tags["user"] != "ada" {
					t.Errorf("the tags of %s %s are %v", s.kind, s.service, s.tags)
				}
			}
		})
	}
}

// TestTraceGoesOn: the trace that an application began goes on, whichever headers
// carry it.
func TestTraceGoesOn(t *testing.T) {
	const parent = "b7ad6b7169203331"
	b3 := func(trace string) http.Header {
		return http.Header{"X-B3-Traceid": {trace}, "X-B3-Spanid": {parent}, "X-B3-Sampled": {"1"}}
	}
	w3c := func(trace string) http.Header {
		return http.Header{"Traceparent": {"00-" + trace + "-" + parent + "-01"}}
	}
	zipkin, collector := startZipkin(t), startCollector(t)
	for _, c := range []struct {
		name, tracing, trace string
		in                   func(trace string) http.Header
		shared               bool
	}{
		{"b3", "provider: zipkin, propagation: b3", "0af7651916cd43dd8448eb211c80319a", b3, true},
		{"b3 of both", "provider: zipkin, propagation: b3-w3c", "0af7651916cd43dd8448eb211c80319b", b3, true},
		{"w3c of both", "provider: zipkin, propagation: b3-w3c", "0af7651916cd43dd8448eb211c80319c", w3c, true},
		{"w3c", "provider: otel", "0af7651916cd43dd8448eb211c80319d", w3c, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startShop(t, "tracing: {percent: 0, "+c.tracing+"}", map[string]string{"obs/zipkin": zipkin, "obs/otel": collector.address})
			s.send(t, c.in(c.trace))
			spans := waitFor(t, len(hops), func() ([]span, error) {
				if !c.shared {
					return collector.spans(), nil
				}
				return zipkinTrace(t.Context(), zipkin, c.trace)
			})
			isChain(t, spans, parent, c.shared)
			for _, s := range spans {
				if s.trace != c.trace {
					t.Errorf("%s %s is of trace %s, want %s", s.kind, s.service, s.trace, c.trace)
				}
			}
		})
	}
}

// TestOpenTelemetry: W3C's trace context, and every span has an id of its own.
func TestOpenTelemetry(t *testing.T) {
	collector := startCollector(t)
	s := startShop(t, "tracing: {provider: otel, percent: 100}", map[string]string{"obs/otel": collector.address})
	headers := s.send(t, nil)
	if headers.Get("X-B3-Traceid") != "" {
		t.Error("B3 is sent by a tracer of OpenTelemetry")
	}
	isChain(t, waitFor(t, len(hops), func() ([]span, error) { return collector.spans(), nil }), "", false)
}

// TestSampling: who comes without a decision is traced by chance, and who comes with
// one keeps it on all hops.
func TestSampling(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for _, c := range []struct {
		name, tracing string
		with          func(sampled string) http.Header
		decision      func(http.Header) string // of the headers at the end
	}{{
		"otlp", "provider: otel",
		func(sampled string) http.Header {
			return http.Header{"Traceparent": {"00-" + trace + "-b7ad6b7169203331-0" + sampled}}
		},
		func(h http.Header) string {
			return strings.TrimLeft(h.Get("Traceparent")[len("00-"+trace+"-b7ad6b7169203331-"):], "0")
		},
	}, {
		"zipkin", "provider: zipkin",
		func(sampled string) http.Header {
			return http.Header{"X-B3-Traceid": {trace}, "X-B3-Spanid": {"b7ad6b7169203331"}, "X-B3-Sampled": {sampled}}
		},
		func(h http.Header) string { return strings.TrimLeft(h.Get("X-B3-Sampled"), "0") },
	}} {
		t.Run(c.name, func(t *testing.T) {
			never := startShop(t, "tracing: {"+c.tracing+", percent: 0}", nil)
			if got := c.decision(never.send(t, nil)); got != "" {
				t.Error("percent 0 traces a request without a decision")
			}
			if got := c.decision(never.send(t, c.with("1"))); got != "1" {
				t.Error("percent 0 drops the decision to trace")
			}
			always := startShop(t, "tracing: {"+c.tracing+", percent: 100}", nil)
			if got := c.decision(always.send(t, nil)); got != "1" {
				t.Error("percent 100 does not trace")
			}
			if got := c.decision(always.send(t, c.with("0"))); got != "" {
				t.Error("percent 100 traces what is not to be traced")
			}
		})
	}
}

// isChain demands one trace in which each hop is the child of the one before, and the
// first of parent.
func isChain(t *testing.T, spans []span, parent string, shared bool) {
	t.Helper()
	var got []string
	first := true
	for len(got) < len(hops) {
		// The server's span has the client's id where they share it, else it as its parent.
		k := slices.IndexFunc(spans, func(s span) bool {
			want := hops[len(got)]
			if s.kind+" "+s.service != want {
				return false
			}
			if shared && len(got)%2 == 1 {
				return s.id == parent
			}
			return s.parent == parent
		})
		if k < 0 {
			t.Fatalf("no span %q under %q in\n%+v", hops[len(got)], parent, spans)
		}
		if !first && spans[k].trace != spans[0].trace {
			t.Errorf("%s is of another trace", hops[len(got)])
		}
		first, parent = false, spans[k].id
		got = append(got, spans[k].kind+" "+spans[k].service)
	}
	if diff := cmp.Diff(hops, got); diff != "" || len(spans) != len(hops) {
		t.Errorf("%d spans (-want +got):\n%s", len(spans), diff)
	}
}

// waitFor waits until so many spans came.
func waitFor(t *testing.T, n int, spans func() ([]span, error)) []span {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []span
	err := envoytest.Until(ctx, func() (err error) {
		if got, err = spans(); err == nil && len(got) < n {
			err = fmt.Errorf("%d spans came, want %d: %+v", len(got), n, got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// zipkinTrace asks Zipkin for a trace by its id.
func zipkinTrace(ctx context.Context, address, id string) ([]span, error) {
	answer, err := envoytest.Send(ctx, address, envoytest.Request{Path: "/api/v2/trace/" + id})
	if err != nil || answer.Status == http.StatusNotFound {
		return nil, err
	}
	var list []struct {
		TraceID, ID, ParentID, Kind string
		LocalEndpoint               struct{ ServiceName string }
		Tags                        map[string]string
	}
	if err := json.Unmarshal(answer.Body, &list); err != nil {
		return nil, fmt.Errorf("reading Zipkin's answer %q: %w", answer.Body, err)
	}
	var out []span
	for _, s := range list {
		out = append(out, span{s.TraceID, s.ID, s.ParentID, s.Kind, s.LocalEndpoint.ServiceName, s.Tags})
	}
	return out, nil
}
