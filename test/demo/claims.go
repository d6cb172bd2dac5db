package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/test/localmesh"
)

// items is what a customer asks of the catalog.
var items = localmesh.Order{Method: "GET", URL: "http://catalog:8080/items"}

// call makes the application of a workload call through its own sidecar.
func (s *shop) call(from string, o localmesh.Order) (localmesh.Tally, error) {
	return s.Instance(from).Call(o)
}

// answers says how often which status came.
func answers(t localmesh.Tally) string {
	var out []string
	for _, status := range slices.Sorted(maps.Keys(t.Status)) {
		text := strconv.Itoa(status)
		if status == 0 {
			text = "no answer"
		}
		if n := t.Status[status]; t.Requests > 1 {
			text = fmt.Sprintf("%s %d times", text, n)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func want(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("(want "+format+")", args...)
}

// claims makes every claim in turn, and says whether all held.
func (s *shop) claims(ctx context.Context, t *table) bool {
	s.routing(t)
	s.resilience(t)
	s.access(t)
	s.delivery(ctx, t)
	return t.verdict()
}

func (s *shop) routing(t *table) {
	version := func(agent, want string) func() (string, error) {
		return func() (string, error) { return s.allFrom(agent, want) }
	}
	t.claim("Chrome goes to catalog v2 (an Istio VirtualService)", version("Mozilla/5.0 Chrome/141.0", "v2"))
	t.claim("other browsers go to catalog v1", version("Mozilla/5.0 Firefox/145.0", "v1"))
	t.claim("the catalog's canary: 90 % to v1, 10 % to v2", s.canary)
}

func (s *shop) allFrom(agent, version string) (string, error) {
	r, err := s.call("customer", localmesh.Order{Method: "GET", URL: "http://my-service:8080/items",
		Headers: map[string]string{"user-agent": agent}, Requests: 50})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d requests to my-service answered by %s", r.Versions[version], r.Requests, version),
		want(r.Versions[version] == r.Requests, "all of them; %s", answers(r))
}

// canary counts real requests: 2,000 at 10 % stay within five standard
// deviations of 200 but for one time in a million.
func (s *shop) canary() (string, error) {
	const n, share = 2000, 0.1
	o := items
	o.Requests, o.Concurrency = n, 8
	r, err := s.call("customer", o)
	if err != nil {
		return "", err
	}
	bound := 5 * math.Sqrt(n*share*(1-share))
	got := float64(r.Versions["v2"])
	return fmt.Sprintf("%d requests: %d to v1, %d to v2", r.Requests, r.Versions["v1"], r.Versions["v2"]),
		want(math.Abs(got-n*share) <= bound && r.Status[200] == n, "%.0f±%.0f to v2; %s", n*share, bound, answers(r))
}

func (s *shop) resilience(t *table) {
	t.claim("a retry hides one transient failure of GET", func() (string, error) { return s.retried("GET", "read", 200, 2) })
	t.claim("POST is not repeated", func() (string, error) { return s.retried("POST", "place", 503, 1) })
	t.claim("a report that takes longer than 500 ms is given up", s.timeout)
	t.claim("an open circuit answers at once and queues nothing", s.circuit)
}

// retried sends a request whose first try fails, and counts the tries.
func (s *shop) retried(method, path string, status, tries int) (string, error) {
	r, err := s.call("customer", localmesh.Order{Method: method, URL: "http://order:8080/" + path + "?fail=1&key=demo"})
	if err != nil {
		return "", err
	}
	seen, err := s.Instance("order").Received(method + " /" + path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("tries that order got: %d; what the caller got: %s", seen, answers(r)),
		want(r.Status[status] == 1 && seen == tries, "%d and %d", tries, status)
}

func (s *shop) timeout() (string, error) {
	r, err := s.call("customer", localmesh.Order{Method: "GET", URL: "http://order:8080/report?delay=3s"})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("one of 3 s: %s after %.0f ms", answers(r), r.Seconds*1000),
		want(r.Status[504] == 1 && r.Seconds < 1.5, "504 after 500 ms")
}

func (s *shop) circuit() (string, error) {
	r, err := s.call("order", localmesh.Order{Method: "GET", URL: "http://inventory:8080/stock?delay=500ms", Requests: 20, Concurrency: 20})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("20 slow requests at once: %s, in %.1f s", answers(r), r.Seconds),
		want(r.Status[200] > 0 && r.Status[503] >= 10 && r.Status[200]+r.Status[503] == 20 && r.Seconds < 3, "some 200, most 503")
}

func (s *shop) access(t *table) {
	charge := localmesh.Order{Method: "POST", URL: "http://payment:8080/charges"}
	ship := localmesh.Order{Method: "POST", URL: "http://shipping:8080/shipments"}
	look := localmesh.Order{Method: "GET", URL: "http://shipping:8080/shipments"}
	t.claim("order may call payment on 8080", func() (string, error) { return s.status("order", charge, 200) })
	t.claim("catalog may not", func() (string, error) { return s.status("catalog-v1", charge, 403) })
	t.claim("without a mesh identity the handshake fails", s.stranger)
	t.claim("OPA lets order ship", func() (string, error) { return s.status("order", ship, 200) })
	t.claim("OPA refuses what no rule allows", func() (string, error) { return s.status("order", look, 403) })
}

func (s *shop) status(from string, o localmesh.Order, status int) (string, error) {
	r, err := s.call(from, o)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s from %s: %s", o.Method, o.URL, from, answers(r)), want(r.Status[status] == 1, "%d %s", status, r.Failures)
}

// stranger tries the callee's sidecar without a certificate, in TLS and in plain.
func (s *shop) stranger() (string, error) {
	address := s.Instance("payment").Sidecar() + ":8080"
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a stranger trusts nobody
	if err == nil {
		// In TLS 1.3 the server's refusal arrives with the first read.
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	resp, plain := http.Post("http://"+address+"/charges", "text/plain", nil)
	if plain == nil {
		resp.Body.Close()
		return "plain text: " + resp.Status, errors.New("(want no answer)")
	}
	return fmt.Sprintf("%v; no answer to plain text", err), want(err != nil, "a refusal")
}
