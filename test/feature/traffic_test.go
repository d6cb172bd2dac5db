package feature_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// counts returns how many requests each endpoint of a service got, and forgets them.
func (c client) counts(service string) (out []int) {
	for _, e := range c.run.Echoes("shop/" + service) {
		out = append(out, e.Count("", ""))
		e.Reset()
	}
	return out
}

// goes sends requests and wants them to be spread over the endpoints like this.
func (c client) goes(service string, want ...int) {
	c.t.Helper()
	c.counts(service)
	sum := 0
	for _, n := range want {
		sum += n
	}
	for range sum {
		c.ask(service, "/", nil)
	}
	if diff := cmp.Diff(want, c.counts(service)); diff != "" {
		c.t.Errorf("endpoints of %s as %s (-want +got):\n%s", service, c.as(), diff)
	}
}

// locality: endpoints of the caller's zone take all until they fail, then those of
// its region, then others; regions take over in the order that is written; weights
// are kept, and who has none gets nothing.
func locality(t *testing.T, m *check.Mesh, run *meshtest.Mesh) {
	c := client{t: t, mesh: m, run: run}
	c.goes("near", 10, 0, 0)
	client{t: t, mesh: m, run: run, from: "report"}.goes("near", 0, 0, 10)
	for k, want := range [][]int{{0, 10, 0}, {0, 0, 10}} {
		echo := run.Echoes("shop/near")[k]
		echo.Answer("", envoytest.Answer{Status: http.StatusInternalServerError})
		// Envoy tells its workers of a second ejection within a second at its end
		// (common_lb_config.update_merge_window).
		c.eventually(func() error {
			if got := c.ask("near", "/", nil); got.Status != http.StatusOK {
				return fmt.Errorf("endpoint %d is still asked: %s", k, &got)
			}
			return nil
		})
		c.goes("near", want...)
	}
	c.goes("abroad", 0, 10)
	c.shares("spread", 70, 20, 10, 0)
	c.goes("istio-near", 0, 10)
	c.goes("istio-home", 10, 0)
	c.shares("istio-spread", 80, 10, 10)
	remoteLocalities(c)
}

// remoteLocalities: a retry leaves the locality that failed where the route says so,
// and the match keeps metrics under its own name.
func remoteLocalities(c client) {
	near := c.run.Echoes("shop/istio-near")[1]
	for path, status := range map[string]int{"/further": http.StatusOK, "/stay": http.StatusServiceUnavailable} {
		near.Answer(path, envoytest.Answer{Status: http.StatusServiceUnavailable})
		if got := c.ask("istio-near", path, nil); got.Status != status {
			c.t.Errorf("%s: want %d, got %s", path, status, &got)
		}
	}
	stats, err := c.run.Envoys(c.as())[0].Stats("vhost.")
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(stats)), func(name string) bool { return strings.Contains(name, ".route.critical.") && stats[name] > 0 }) {
		c.t.Error("no metrics are kept for the match's statPrefix")
	}
}

// shares wants a service's endpoints to get these percents.
func (c client) shares(service string, percents ...float64) {
	c.t.Helper()
	c.counts(service)
	if _, err := c.run.Shares(c.t.Context(), c.result(service, "/", nil), 5000); err != nil {
		c.t.Fatal(err)
	}
	if err := meshtest.ChiSquare(c.counts(service), percents); err != nil {
		c.t.Errorf("shares of the endpoints of %s: %v", service, err)
	}
}

// keys: all of them together choose the endpoint.
func keys(c client) {
	pages(c, "both")
	if c.counts("both"); c.t.Failed() {
		return
	}
	seen := map[string]bool{}
	for user := range 12 {
		c.ask("both", "/?page=1", map[string][]string{"x-user": {fmt.Sprint("user ", user)}})
		seen[fmt.Sprint(c.counts("both"))] = true
	}
	if len(seen) < 2 {
		c.t.Error("the first key changes nothing")
	}
}

// pages: each page of the query has its endpoint, and not all have the same.
func pages(c client, service string) {
	c.counts(service)
	seen := map[string]bool{}
	for page := range 12 {
		path := fmt.Sprint("/?page=", page)
		for range 3 {
			c.ask(service, path, map[string][]string{"x-user": {"someone"}})
		}
		got := c.counts(service)
		if !slices.Contains(got, 3) {
			c.t.Errorf("page %d went to several endpoints: %v", page, got)
		}
		seen[fmt.Sprint(got)] = true
	}
	if len(seen) < 2 {
		c.t.Error("the query's key changes nothing")
	}
}

// callers: the address of the caller chooses for requests and connections.
func callers(c client) {
	for _, service := range []string{"source", "stream"} {
		c.counts(service)
		for range 9 {
			c.ask(service, "/", nil)
		}
		if got := c.counts(service); !slices.Contains(got, 9) {
			c.t.Errorf("%s: one caller went to several endpoints: %v", service, got)
		}
	}
}

// sessions: a cookie is made with one of these attributes, and leads to one endpoint.
func sessions(c client, attributes ...string) {
	first := c.ask("session", "/", nil)
	cookie := first.Headers.Get("Set-Cookie")
	value, rest, _ := strings.Cut(cookie, ";")
	if !slices.Contains(attributes, rest) {
		c.t.Errorf("cookie %q", cookie)
	}
	c.counts("session")
	for range 6 {
		if got := c.ask("session", "/", map[string][]string{"cookie": {value}}); got.Headers.Get("Set-Cookie") != "" {
			c.t.Errorf("another cookie is made: %s", &got)
		}
	}
	if got := c.counts("session"); !slices.Contains(got, 6) {
		c.t.Errorf("one session went to several endpoints: %v", got)
	}
}

// panics: with nobody healthy, all are asked below the threshold, and with a
// threshold of 0 nobody is.
func panics(c client) {
	for service, want := range map[string]int{"calm": http.StatusServiceUnavailable, "panic": http.StatusInternalServerError} {
		c.run.Echoes("shop/" + service)[0].Answer("", envoytest.Answer{Status: http.StatusInternalServerError})
		c.ask(service, "/", nil)
		c.eventually(func() error {
			got := c.ask(service, "/", nil)
			if got.Status != want || (got.Flags == "UH") != (service == "calm") {
				return fmt.Errorf("%s with nobody healthy: %s", service, &got)
			}
			return nil
		})
	}
}

// ejects wants the first endpoint of a service, which answers a share of the requests
// with a status, to be ejected.
func (c client) ejects(service string) {
	c.t.Helper()
	bad := c.run.Echoes("shop/" + service)[0]
	c.eventually(func() error {
		bad.Reset()
		for range 30 {
			c.ask(service, "/", nil)
		}
		if n := bad.Count("", ""); n != 0 {
			return fmt.Errorf("%s: the endpoint that fails got %d of 30 requests", service, n)
		}
		return nil
	})
}

// rates: endpoints go that fail too large a share, or do worse than the others; what
// is an error is what is written; and the longest ejection is no longer than written.
func rates(c client) {
	fail := func(service string, status int) {
		c.run.Echoes("shop/" + service)[0].Answer("", envoytest.Answer{Status: status})
	}
	fail("shares", http.StatusInternalServerError)
	c.ejects("shares")
	fail("worse", http.StatusInternalServerError)
	c.ejects("worse")

	fail("refusing", http.StatusInternalServerError)
	c.goes("refusing", 10, 10)
	fail("refusing", http.StatusTooManyRequests)
	c.ejects("refusing")

	// By its base, the third ejection would take 3 s.
	bad := c.run.Echoes("shop/again")[0]
	for range 4 {
		bad.Answer("", envoytest.Answer{Status: http.StatusInternalServerError})
		c.eventually(func() error {
			if got := c.ask("again", "/", nil); got.Status == http.StatusOK {
				return errors.New("the endpoint has not come back")
			}
			return nil
		})
	}
	bad.Answer("", envoytest.Answer{})
	bad.Reset()
	began := time.Now()
	c.eventually(func() error {
		c.ask("again", "/", nil)
		if bad.Count("", "") == 0 {
			return errors.New("the endpoint has not come back")
		}
		return nil
	})
	if took := time.Since(began); took > 2500*time.Millisecond {
		c.t.Errorf("the endpoint came back after %s, want the written maximum of 1s", took)
	}
}

// perHost: connections to each endpoint are limited, and what exceeds them waits.
func perHost(c client) {
	for _, echo := range c.run.Echoes("shop/each") {
		echo.Answer("/held", envoytest.Answer{Delay: time.Minute})
	}
	defer c.hold("each", 6)()
	stats, err := c.run.Envoys(c.as())[0].Stats("cluster.outbound|8080||each/shop.upstream_cx_active")
	if err != nil {
		c.t.Fatal(err)
	}
	if n := stats["cluster.outbound|8080||each/shop.upstream_cx_active"]; n != 2 {
		c.t.Errorf("%d connections to two endpoints that take one each", n)
	}
}
