package feature_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	commonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

func rateLimit(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	order := client{t: t, mesh: m, run: run}
	web := client{t: t, mesh: m, run: run, from: "web"}
	localLimits(t, order, web)
	headerLimits(t, order)
	globalLimits(t, order, web, run)
}

// limited demands how many of n requests are let through, and that the rest is
// answered by the callee's proxy.
func (c client) limited(what string, want, n int, service, path string, headers map[string][]string) {
	c.t.Helper()
	passed := 0
	for range n {
		switch got := c.ask(service, path, headers); {
		case got.Status == http.StatusOK && got.Received != nil:
			passed++
		case got.Status != http.StatusTooManyRequests || got.CalleeDetails != "local_rate_limited" || got.Headers.Get("x-ratelimit-remaining") != "0":
			c.t.Errorf("%s: want 200, or 429 by the callee's proxy, got %s %v", what, &got, got.Headers)
		}
	}
	if passed != want {
		c.t.Errorf("%s: %d of %d requests passed, want %d", what, passed, n, want)
	}
}

func localLimits(t *testing.T, order, web client) {
	order.limited("a rule's limit", 3, 5, "local", "/search/x", nil)
	web.limited("the same, shared by callers", 0, 1, "local", "/search/x", nil)
	order.limited("another route", 1, 1, "local", "/other", nil)
	if got := order.result("local", "/search", nil); got.Route.Rule == nil || got.Route.Rule.Name != "search" {
		t.Fatal("/search is not of rule search")
	}

	order.limited("burst", 2, 4, "local", "/slow", nil)
	time.Sleep(1200 * time.Millisecond)
	order.limited("a second later", 1, 2, "local", "/slow", nil)

	order.limited("a caller's limit", 3, 5, "web", "/", nil)
	web.limited("another caller", 3, 4, "web", "/", nil)
}

func headerLimits(t *testing.T, order client) {
	of := func(tenant string) map[string][]string { return map[string][]string{"x-tenant": {tenant}} }
	order.limited("a header's value", 2, 3, "tenant", "/", of("a"))
	order.limited("another value", 2, 3, "tenant", "/", of("b"))
	order.limited("without the header", 2, 3, "tenant", "/", nil)
	forged := of("a")
	forged["x-forwarded-for"] = []string{"192.0.2.7"}
	order.limited("an address that the caller made up", 0, 1, "tenant", "/", forged)
}

// limiter is a rate-limit service that counts nothing: a test says what it answers.
type limiter struct {
	mu    sync.Mutex
	over  map[string]bool // values of the entry "limit"
	down  bool
	asked []*rlsv3.RateLimitRequest
}

func (l *limiter) ShouldRateLimit(_ context.Context, r *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, status.Error(codes.Unavailable, "down")
	}
	l.asked = append(l.asked, r)
	out := &rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_OK}
	for _, d := range r.GetDescriptors() {
		one := &rlsv3.RateLimitResponse_DescriptorStatus{Code: rlsv3.RateLimitResponse_OK}
		if l.over[entries(d)["limit"]] {
			one.Code, out.OverallCode = rlsv3.RateLimitResponse_OVER_LIMIT, rlsv3.RateLimitResponse_OVER_LIMIT
		}
		out.Statuses = append(out.Statuses, one)
	}
	return out, nil
}

func entries(d *commonv3.RateLimitDescriptor) map[string]string {
	out := map[string]string{}
	for _, e := range d.GetEntries() {
		out[e.GetKey()] = e.GetValue()
	}
	return out
}

// set says what is answered from now on, and forgets what was asked.
func (l *limiter) set(down bool, over ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.down, l.over = nil, down, map[string]bool{}
	for _, limit := range over {
		l.over[limit] = true
	}
}

// said are the descriptors that were asked about, by their limit, with what each
// may have.
func (l *limiter) said() map[string]map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]map[string]string{}
	for _, r := range l.asked {
		for _, d := range r.GetDescriptors() {
			e := entries(d)
			e["domain"], e["allows"] = r.GetDomain(), fmt.Sprint(d.GetLimit().GetRequestsPerUnit(), " ", d.GetLimit().GetUnit())
			out[e["limit"]] = e
		}
	}
	return out
}

func globalLimits(t *testing.T, order, web client, run *meshtest.Mesh) {
	service := &limiter{}
	server := grpc.NewServer()
	rlsv3.RegisterRateLimitServiceServer(server, service)
	run.Echoes("shop/counter")[0].Handle(rlsv3.RateLimitService_ShouldRateLimit_FullMethodName, server)

	demand := func(what string, want int, details string) {
		t.Helper()
		got := order.ask("global", "/", map[string][]string{"x-tenant": {"a"}})
		if got.Status != want || got.CalleeDetails != details || (got.Received != nil) != (want == http.StatusOK) {
			t.Errorf("%s: want %d %s, got %s", what, want, details, &got)
		}
	}
	service.set(false)
	demand("under the limits", http.StatusOK, "via_upstream")
	want := map[string]map[string]string{
		"callers": {
			"domain": "shop.example", "policy": "shop/global", "limit": "callers", "caller": "spiffe://shop.example/ns/shop/sa/order",
			"remote_address": "127.0.0.1", "allows": "2 MINUTE",
		},
		"tenants": {"domain": "shop.example", "policy": "shop/global", "limit": "tenants", "header": "a", "allows": "100 HOUR"},
	}
	if diff := gocmp.Diff(want, service.said()); diff != "" {
		t.Errorf("descriptors (-want +got):\n%s", diff)
	}

	service.set(false, "callers")
	demand("over one limit", http.StatusTooManyRequests, "request_rate_limited")
	service.set(false, "tenants")
	demand("over the other", http.StatusTooManyRequests, "request_rate_limited")
	service.set(true)
	demand("the service is down", http.StatusInternalServerError, "rate_limiter_error")
	if got := web.ask("order", "/", nil); got.Status != http.StatusOK || got.Received == nil {
		t.Errorf("the service is down, which allows: want 200, got %s", &got)
	}
	service.set(false, "orders")
	if got := web.ask("order", "/", nil); got.Status != http.StatusTooManyRequests || got.CalleeDetails != "request_rate_limited" {
		t.Errorf("the service is up again: want 429, got %s", &got)
	}
}
