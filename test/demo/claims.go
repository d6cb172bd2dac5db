package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// order and tally are the demo's side of the shop's control port.
type order struct {
	Method      string            `json:"method"`
	URL         string            `json:"url"`
	Headers     map[string]string `json:"headers,omitempty"`
	Requests    int               `json:"requests,omitempty"`
	Concurrency int               `json:"concurrency,omitempty"`
	Until       bool              `json:"until,omitempty"`
}

type tally struct {
	Requests int            `json:"requests"`
	Status   map[int]int    `json:"status"`
	Versions map[string]int `json:"versions"`
	Body     string         `json:"body"`
	Flags    string         `json:"flags"`
	Seconds  float64        `json:"seconds"`
	Error    string         `json:"error"`
}

func named(workload string) instance {
	i := slices.IndexFunc(instances, func(i instance) bool { return i.workload == workload })
	return instances[i]
}

// call makes an application call through its own sidecar.
func call(from string, o order) (tally, error) {
	var t tally
	return t, post(named(from).control()+"/call", o, &t)
}

func post(url string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// received is how often a workload's application saw a method and path.
func received(workload, methodAndPath string) (int, error) {
	counts := map[string]int{}
	err := getJSON(named(workload).control()+"/counts", &counts)
	return counts[methodAndPath], err
}

func want(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf("(want "+format+")", args...)
}

// claims makes every claim in turn.
func (s *shop) claims(ctx context.Context) table {
	var t table
	s.routing(&t)
	s.resilience(&t)
	s.access(&t)
	s.delivery(ctx, &t)
	return t
}

func (s *shop) routing(t *table) {
	const url = "http://my-service:8080/items"
	version := func(agent, want string) func() (string, error) {
		return func() (string, error) { return s.allFrom(url, agent, want) }
	}
	t.claim("Chrome goes to catalog v2 (Istio VirtualService)", version("Mozilla/5.0 Chrome/141.0", "v2"))
	t.claim("other browsers go to catalog v1", version("Mozilla/5.0 Firefox/145.0", "v1"))
	t.claim("a 90/10 canary of the catalog", s.canary)
}

func (s *shop) allFrom(url, agent, version string) (string, error) {
	r, err := call("customer", order{Method: "GET", URL: url, Headers: map[string]string{"user-agent": agent}, Requests: 50})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d of %d requests from %s", r.Versions[version], r.Requests, version),
		want(r.Versions[version] == r.Requests, "all of them; status %v", r.Status)
}

// canary counts real requests: 2,000 at 10 % stay within five standard
// deviations of 200 but for one time in a million.
func (s *shop) canary() (string, error) {
	const n, share = 2000, 0.1
	r, err := call("customer", order{Method: "GET", URL: "http://catalog:8080/items", Requests: n, Concurrency: 8})
	if err != nil {
		return "", err
	}
	bound := 5 * math.Sqrt(n*share*(1-share))
	got := float64(r.Versions["v2"])
	return fmt.Sprintf("%d of v1, %d of v2 in %d requests", r.Versions["v1"], r.Versions["v2"], r.Requests),
		want(math.Abs(got-n*share) <= bound && r.Status[200] == n, "%.0f±%.0f of v2; status %v", n*share, bound, r.Status)
}

func (s *shop) resilience(t *table) {
	t.claim("a retry hides one transient failure of GET", func() (string, error) { return s.retried("GET", "read", 200, 2) })
	t.claim("POST is not repeated", func() (string, error) { return s.retried("POST", "place", 503, 1) })
	t.claim("a report that takes longer than 500ms is given up", s.timeout)
	t.claim("an open circuit answers at once instead of queueing", s.circuit)
}

// retried sends a request whose first try fails, and counts the tries.
func (s *shop) retried(method, path string, status, tries int) (string, error) {
	r, err := call("customer", order{Method: method, URL: "http://order:8080/" + path + "?fail=1&key=demo"})
	if err != nil {
		return "", err
	}
	seen, err := received("order", method+" /"+path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("status %v after %d tries", r.Status, seen),
		want(r.Status[status] == 1 && seen == tries, "%d after %d", status, tries)
}

func (s *shop) timeout() (string, error) {
	r, err := call("customer", order{Method: "GET", URL: "http://order:8080/report?delay=3s"})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("status %v after %.0f ms", r.Status, r.Seconds*1000),
		want(r.Status[504] == 1 && r.Seconds < 1.5, "504 after 500 ms")
}

func (s *shop) circuit() (string, error) {
	r, err := call("order", order{Method: "GET", URL: "http://inventory:8080/stock?delay=500ms", Requests: 20, Concurrency: 20})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d answered, %d refused by the circuit in %.1f s", r.Status[200], r.Status[503], r.Seconds),
		want(r.Status[200] > 0 && r.Status[503] >= 10 && r.Status[200]+r.Status[503] == 20 && r.Seconds < 3,
			"some of each; status %v", r.Status)
}

func (s *shop) access(t *table) {
	charge := order{Method: "POST", URL: "http://payment:8080/charges"}
	ship := order{Method: "POST", URL: "http://shipping:8080/shipments"}
	look := order{Method: "GET", URL: "http://shipping:8080/shipments"}
	t.claim("order may call payment on 8080", func() (string, error) { return s.status("order", charge, 200) })
	t.claim("catalog may not", func() (string, error) { return s.status("catalog-v1", charge, 403) })
	t.claim("a caller without a mesh identity is refused at the handshake", s.stranger)
	t.claim("OPA lets order ship", func() (string, error) { return s.status("order", ship, 200) })
	t.claim("OPA refuses what no rule allows", func() (string, error) { return s.status("order", look, 403) })
}

func (s *shop) status(from string, o order, status int) (string, error) {
	r, err := call(from, o)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s from %s: status %v", o.Method, o.URL, from, r.Status), want(r.Status[status] == 1, "%d; %s", status, r.Error)
}

// stranger tries the callee's sidecar without a certificate, in TLS and in plain.
func (s *shop) stranger() (string, error) {
	address := named("payment").sidecar() + ":8080"
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
		return fmt.Sprintf("plain text: %s", resp.Status), errors.New("(want no answer)")
	}
	return fmt.Sprintf("TLS: %v; plain text: no answer", err), want(err != nil, "a refusal")
}
