package feature_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// shown are features that no single request shows: the folder's mesh runs, and
// the function asks it.
var shown = map[string]func(*testing.T, *check.Mesh, *meshtest.Mesh){
	"load-balancing":    loadBalancing,
	"circuit-breaker":   circuitBreaker,
	"outlier-detection": outlierDetection,
	"fallback":          fallback,
	"mirror":            mirror,
	"sticky":            sticky,
	"cors":              cors,
}

// client asks as shop/order.
type client struct {
	t    *testing.T
	mesh *check.Mesh
	run  *meshtest.Mesh
}

func (c client) result(service, path string, headers map[string][]string) *reach.Result {
	c.t.Helper()
	r, err := reach.Evaluate(c.mesh, reach.Request{From: "shop/order", To: service + ".shop:8080", Path: path, Headers: headers})
	if err != nil {
		c.t.Fatal(err)
	}
	return &r
}

func (c client) ask(service, path string, headers map[string][]string) meshtest.Observation {
	c.t.Helper()
	got, err := c.run.Ask(c.t.Context(), c.result(service, path, headers))
	if err != nil {
		c.t.Fatal(err)
	}
	return got
}

// eventually waits for what happens soon.
func (c client) eventually(check func() error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	if err := envoytest.Until(ctx, check); err != nil {
		c.t.Fatal(err)
	}
}

// hold has a service's application keep requests to /held until the test is over.
func (c client) hold(service string, n int) (release func()) {
	c.t.Helper()
	echo := c.run.Echoes("shop/" + service)[0]
	echo.Answer("/held", envoytest.Answer{Delay: time.Minute})
	ctx, cancel := context.WithCancel(c.t.Context())
	held := c.result(service, "/held", nil)
	var all sync.WaitGroup
	for range n {
		all.Go(func() { c.run.Ask(ctx, held) }) //nolint:errcheck // it is never answered
	}
	stat := "cluster.outbound|8080||" + service + "/shop.upstream_rq_"
	c.eventually(func() error {
		stats, err := c.run.Envoys("shop/order")[0].Stats(stat)
		if active, pending := stats[stat+"active"], stats[stat+"pending_active"]; err != nil || active+pending < uint64(n) {
			return fmt.Errorf("%d requests active and %d pending, want %d: %w", active, pending, n, err)
		}
		return nil
	})
	return func() { cancel(); all.Wait() }
}

func loadBalancing(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t, m, run}
	count := func(service string) (out []int) {
		for _, e := range run.Echoes("shop/" + service) {
			out = append(out, e.Count("", ""))
			e.Reset()
		}
		return out
	}
	count("turns")
	for range 30 {
		c.ask("turns", "/", nil)
	}
	if diff := cmp.Diff([]int{10, 10, 10}, count("turns")); diff != "" {
		t.Errorf("round robin over three endpoints (-want +got):\n%s", diff)
	}

	count("hashed")
	used := make([]int, 3)
	for user := range 20 {
		for range 4 {
			c.ask("hashed", "/", map[string][]string{"x-user": {fmt.Sprint("user ", user)}})
		}
		got := count("hashed")
		k := slices.Index(got, 4)
		if k < 0 {
			t.Fatalf("user %d went to several endpoints: %v", user, got)
		}
		used[k]++
	}
	if slices.Min(used) == 0 {
		t.Errorf("20 users on three endpoints: %v", used)
	}
}

func circuitBreaker(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t, m, run}
	release := c.hold("narrow", 2) // one in flight, one that waits
	if got := c.ask("narrow", "/", nil); got.Status != http.StatusServiceUnavailable || got.Flags != "UO" || got.Received != nil {
		t.Errorf("beyond the limits: want 503 UO, got %s", &got)
	}
	wide := c.hold("wide", 3)
	if got := c.ask("wide", "/", nil); got.Status != http.StatusOK {
		t.Errorf("another service: want 200, got %s", &got)
	}
	wide()
	release()
	c.eventually(func() error {
		if got := c.ask("narrow", "/", nil); got.Status != http.StatusOK {
			return fmt.Errorf("after the circuit closed: %s", &got)
		}
		return nil
	})
}

func outlierDetection(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t, m, run}
	echoes := run.Echoes("shop/catalog")
	good, bad := echoes[0], echoes[1]
	bad.Answer("", envoytest.Answer{Status: http.StatusInternalServerError})
	failed := 0
	for range 20 {
		if got := c.ask("catalog", "/", nil); got.Status != http.StatusOK {
			failed++
		}
	}
	if failed != 3 {
		t.Errorf("%d requests failed before the endpoint was ejected, want 3", failed)
	}
	bad.Answer("", envoytest.Answer{})
	bad.Reset()
	good.Reset()
	c.eventually(func() error {
		c.ask("catalog", "/", nil)
		if bad.Count("", "") == 0 {
			return fmt.Errorf("the endpoint has not come back after %d requests to the other", good.Count("", ""))
		}
		return nil
	})
	if good.Count("", "") < 2 {
		t.Error("the endpoint came back before its time was over")
	}
}

func fallback(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t, m, run}
	defer c.hold("narrow", 2)()
	got := c.ask("narrow", "/", nil)
	if got.Status != http.StatusNonAuthoritativeInfo || got.Body != "last known stock" || got.Headers.Get("X-Fallback") != "100%" {
		t.Errorf("want the fallback's 203 with its body and header, got %s with %v and %q", &got, got.Headers, got.Body)
	}
}

func mirror(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t, m, run}
	shadow := run.Echoes("shop/catalog-v2")[0]
	shadow.Answer("", envoytest.Answer{Status: http.StatusInternalServerError})
	shadow.Reset()
	for range 5 {
		for _, path := range []string{"/copied", "/other"} {
			if got := c.ask("catalog", path, nil); got.Status != http.StatusOK || got.Received.Version != "v1" {
				t.Errorf("%s: want v1's answer, got %s", path, &got)
			}
		}
	}
	c.eventually(func() error {
		if n := shadow.Count("GET", "/copied"); n != 5 {
			return fmt.Errorf("the shadow received %d copies, want 5", n)
		}
		return nil
	})
	if n := shadow.Count("", "/other"); n != 0 {
		t.Errorf("the shadow received %d requests that are not copied", n)
	}
}

func sticky(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t, m, run}
	versions := map[string]int{}
	for user := range 40 {
		headers := map[string][]string{"x-user": {fmt.Sprint("user ", user)}}
		first := c.ask("catalog", "/", headers).Received.Version
		for range 3 {
			if again := c.ask("catalog", "/", headers).Received.Version; again != first {
				t.Errorf("user %d was on %s, and then on %s", user, first, again)
			}
		}
		versions[first]++
	}
	if versions["v1"] < 5 || versions["v2"] < 5 {
		t.Errorf("40 users on two equal versions: %v", versions)
	}
}

func cors(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t, m, run}
	for origin, allowed := range map[string]bool{
		"https://www.shop.example": true, "https://a.partner.example": true,
		"https://www.shop.example.evil": false, "http://www.shop.example": false,
	} {
		got := c.ask("catalog", "/", map[string][]string{"origin": {origin}})
		if answer := got.Headers.Get("Access-Control-Allow-Origin"); (answer == origin) != allowed || !allowed && answer != "" {
			t.Errorf("origin %s: allowed origin is %q", origin, answer)
		}
	}
	preflight, err := reach.Evaluate(m, reach.Request{From: "shop/order", To: "catalog.shop:8080", Method: http.MethodOptions, Headers: map[string][]string{
		"origin": {"https://www.shop.example"}, "access-control-request-method": {"GET"}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := run.Ask(t.Context(), &preflight)
	if err != nil {
		t.Fatal(err)
	}
	methods := strings.ReplaceAll(got.Headers.Get("Access-Control-Allow-Methods"), " ", "")
	if age := got.Headers.Get("Access-Control-Max-Age"); methods != "GET,POST" || age != "600" {
		t.Errorf("preflight: methods %q for %q seconds, want GET,POST for 600", methods, age)
	}
}
