package feature_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// shown are features that no single request shows: the folder's mesh runs, and
// the function asks it.
var shown = map[string]func(*testing.T, *check.Mesh, *meshtest.Mesh){
	"load-balancing":      loadBalancing,
	"circuit-breaker":     circuitBreaker,
	"connections":         connections,
	"outlier-detection":   outlierDetection,
	"fallback":            fallback,
	"mirror":              mirror,
	"sticky":              sticky,
	"cors":                cors,
	"linkerd-access":      linkerdNetworks,
	"linkerd-annotations": failureAccrual,
	"locality":            locality,
	"hystrix":             convertedHystrix,
	"rate-limit":          rateLimit,
	"gateway":             showGatewayHeaders,
	"gateway-tls":         showCertificates,
	"tls-passthrough":     showPassThrough,

	"istio-load-balancing":    istioLoadBalancing,
	"istio-circuit-breaker":   breaker,
	"istio-connections":       istioConnections,
	"istio-outlier-detection": istioOutliers,
	"istio-mirror":            shares,
	"istio-cors":              cors,

	"grpc":       grpcRows(grpcRetries(3), grpcTimeout, grpcAbort),
	"istio-grpc": grpcRows(grpcRetries(3), grpcTimeout, grpcAbort),

	"gatewayapi-grpc-calls": grpcRows(),
	"linkerd-grpc":          grpcRows(grpcRetries(2), grpcTimeout),
	"linkerd-grpc-h2c":      grpcRows(grpcRetries(2), grpcTimeout),

	"websocket":            webSocket,
	"istio-websocket":      webSocket,
	"gatewayapi-websocket": webSocket,
	"linkerd-websocket":    webSocket,

	"gatewayapi-backendtls": backendTLS,
	"gatewayapi-cors":       cors,
	"gatewayapi-mirror":     shares,
}

// client asks as a workload of shop: order unless from is set.
type client struct {
	t    *testing.T
	mesh *check.Mesh
	run  *meshtest.Mesh
	from string
}

func (c client) as() string { return "shop/" + cmp.Or(c.from, "order") }

func (c client) result(service, path string, headers map[string][]string) *reach.Result {
	c.t.Helper()
	r, err := reach.Evaluate(c.mesh, reach.Request{From: c.as(), To: service + ".shop:8080", Path: path, Headers: headers})
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
		stats, err := c.run.Envoys(c.as())[0].Stats(stat)
		if active, pending := stats[stat+"active"], stats[stat+"pending_active"]; err != nil || active+pending < uint64(n) {
			return fmt.Errorf("%d requests active and %d pending, want %d: %w", active, pending, n, err)
		}
		return nil
	})
	return func() { cancel(); all.Wait() }
}

func loadBalancing(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
	c.goes("turns", 10, 10, 10)
	users(c)
	keys(c)
	callers(c)
	sessions(c, " Path=/shop; HttpOnly; SameSite=Lax; Secure", " Path=/shop; SameSite=Lax; Secure; HttpOnly")
	panics(c)
}

// istioLoadBalancing: the same by DestinationRules, which have one key.
func istioLoadBalancing(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
	c.goes("turns", 10, 10, 10)
	users(c)
	pages(c, "page")
	callers(c)
	sessions(c, " Path=/shop; HttpOnly")
	panics(c)
}

// users: a header chooses the endpoint.
func users(c client) {
	c.counts("hashed")
	used := make([]int, 3)
	for user := range 20 {
		for range 4 {
			c.ask("hashed", "/", map[string][]string{"x-user": {fmt.Sprint("user ", user)}})
		}
		got := c.counts("hashed")
		k := slices.Index(got, 4)
		if k < 0 {
			c.t.Fatalf("user %d went to several endpoints: %v", user, got)
		}
		used[k]++
	}
	if slices.Min(used) == 0 {
		c.t.Errorf("20 users on three endpoints: %v", used)
	}
}

func circuitBreaker(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	breaker(t, m, run)
	perHost(client{t: t, mesh: m, run: run})
}

func breaker(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
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
	c := client{t: t, mesh: m, run: run}
	ejection(c)
	rates(c)
}

// istioOutliers: an endpoint that fails goes and comes back; gateway errors are counted
// apart from the application's.
func istioOutliers(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
	ejection(c)
	bad := run.Echoes("shop/gateway")[0]
	bad.Answer("", envoytest.Answer{Status: http.StatusInternalServerError})
	c.goes("gateway", 10, 10)
	bad.Answer("", envoytest.Answer{Status: http.StatusBadGateway})
	c.ejects("gateway")
}

// ejection: three failures in a row, and the endpoint comes back after its time.
func ejection(c client) {
	t, run := c.t, c.run
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
	c := client{t: t, mesh: m, run: run}
	defer c.hold("narrow", 2)()
	got := c.ask("narrow", "/", nil)
	if got.Status != http.StatusNonAuthoritativeInfo || got.Body != "last known stock" || got.Headers.Get("X-Fallback") != "100%" {
		t.Errorf("want the fallback's 203 with its body and header, got %s with %v and %q", &got, got.Headers, got.Body)
	}
}

// convertedHystrix: what each converted property does.
func convertedHystrix(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
	echoes := run.Echoes("shop/catalog")
	for _, e := range echoes {
		e.Answer("/slow", envoytest.Answer{Delay: 5 * time.Second})
	}
	if got := c.ask("catalog", "/slow", nil); got.Status != http.StatusGatewayTimeout || got.Flags != "UT" {
		t.Errorf("longer than timeoutInMilliseconds: want 504 UT, got %s", &got)
	}

	release := c.hold("payment", 2)
	if got := c.ask("payment", "/", nil); got.Status != http.StatusServiceUnavailable || got.Flags != "UO" {
		t.Errorf("beyond maxConcurrentRequests: want 503 UO, got %s", &got)
	}
	release()

	for _, e := range echoes {
		e.Answer("/failing", envoytest.Answer{Status: http.StatusInternalServerError})
	}
	c.eventually(func() error { // the circuit of every endpoint opens
		if got := c.ask("catalog", "/failing", nil); got.Status != http.StatusServiceUnavailable || got.Flags != "UH" {
			return fmt.Errorf("beyond errorThresholdPercentage: want 503 UH, got %s", &got)
		}
		return nil
	})
	for _, e := range echoes {
		e.Answer("/failing", envoytest.Answer{})
	}
	c.eventually(func() error { // after sleepWindowInMilliseconds
		if got := c.ask("catalog", "/failing", nil); got.Status != http.StatusOK {
			return fmt.Errorf("the circuit closes again: want 200, got %s", &got)
		}
		return nil
	})
}

func mirror(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
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

// shares of copies: all, half, a third and none of the requests.
func shares(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
	shadow := run.Echoes("shop/next")[0]
	shadow.Answer("", envoytest.Answer{Status: http.StatusInternalServerError})
	shadow.Reset()
	const n = 600
	for path, share := range map[string]float64{"/copied": 1, "/half": 0.5, "/third": 1. / 3, "/never": 0} {
		for range n {
			if got := c.ask("catalog", path, nil); got.Status != http.StatusOK {
				t.Fatalf("%s: %s", path, &got)
			}
		}
		low, high := int((share-0.1)*n), int((share+0.1)*n) // four standard deviations
		c.eventually(func() error {
			if got := shadow.Count("GET", path); got < low || got > high || share == 1 && got != n || share == 0 && got > 0 {
				return fmt.Errorf("%s: the shadow received %d of %d, want about %.0f", path, got, n, share*n)
			}
			return nil
		})
	}
}

func sticky(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
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
	c := client{t: t, mesh: m, run: run}
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

// linkerdNetworks asks of the address of a caller as well, which no PolicyTest can
// say: here everyone is 127.0.0.1, which is no network of a cluster.
func linkerdNetworks(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	const robot, order, nobody = "ops/robot", "shop/order", reach.NoIdentity
	for _, test := range []struct {
		caller, to, peer string
		want             reach.Decision
	}{
		{robot, "payment.shop:9090", "127.0.0.1", reach.Allow},
		{"ops/clerk", "payment.shop:9090", "127.0.0.1", reach.Deny},
		{order, "payment.shop:9090", "127.0.0.1", reach.Deny},
		{nobody, "payment.shop:9090", "127.0.0.1", reach.Deny},
		{robot, "payment.shop:9090", "127.1.2.3", reach.Deny},
		{robot, "payment.shop:9090", "10.1.2.3", reach.Deny},
		{order, "in-cluster.shop:8080", "127.0.0.1", reach.Deny},
		{order, "in-cluster.shop:8080", "10.1.2.3", reach.Allow},
		{nobody, "in-cluster.shop:8080", "10.1.2.3", reach.Deny},
		{nobody, "near.shop:8080", "127.0.0.1", reach.Deny},
		{nobody, "near.shop:8080", "192.168.0.7", reach.Allow},
	} {
		r, err := reach.Evaluate(m, reach.Request{From: test.caller, To: test.to, Peer: netip.MustParseAddr(test.peer)})
		if err != nil {
			t.Fatal(err)
		}
		if r.Access.Decision != test.want {
			t.Errorf("%+v: evaluated to %s", test, r.Access.Decision)
		}
		if test.peer == "127.0.0.1" && test.to == "payment.shop:9090" { // whose proxy runs
			same(t, run, &r)
		}
	}
}

// failureAccrual: failures in a row, and not others, take an endpoint out, be it the only
// one; and it comes back after the penalty.
func failureAccrual(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
	only := run.Echoes("shop/fragile")[0]
	answers := func(status, times int) {
		t.Helper()
		only.Answer("", envoytest.Answer{Status: status})
		for range times {
			if got := c.ask("fragile", "/", nil); got.Status != status {
				t.Errorf("want the endpoint's %d, got %s", status, &got)
			}
		}
	}
	answers(http.StatusInternalServerError, 2)
	answers(http.StatusOK, 1) // the failures are no longer in a row
	answers(http.StatusInternalServerError, 3)
	only.Answer("", envoytest.Answer{})
	only.Reset()
	began := time.Now()
	c.eventually(func() error { // workers are told of an ejection
		if got := c.ask("fragile", "/", nil); got.Status != http.StatusServiceUnavailable || got.Flags != "UH" {
			return fmt.Errorf("after three failures in a row: want 503 UH, got %s", &got)
		}
		return nil
	})
	only.Reset()
	c.eventually(func() error {
		if got := c.ask("fragile", "/", nil); got.Status != http.StatusOK {
			return fmt.Errorf("the endpoint has not come back: %s", &got)
		}
		return nil
	})
	if took := time.Since(began); took < 1500*time.Millisecond {
		t.Errorf("the endpoint came back after %s, before its penalty of 2s", took)
	}
}
