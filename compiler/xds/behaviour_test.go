package xds_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// shop is a caller and a callee with two versions; a test adds the route.
const shop = `
-- shop.yaml --
apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec: {trustDomain: shop.example}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: order, namespace: shop}
spec: {service: order, serviceAccount: order, capture: none, ports: [{port: 8080, protocol: http}], endpoints: [{address: 127.0.0.1}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: catalog-v1, namespace: shop}
spec: {service: catalog, version: v1, serviceAccount: catalog, capture: none, ports: [{port: 8080, protocol: http}], endpoints: [{address: 127.0.0.1}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: catalog-v2, namespace: shop}
spec: {service: catalog, version: v2, serviceAccount: catalog, capture: none, ports: [{port: 8080, protocol: http}], endpoints: [{address: 127.0.0.1}]}
-- route.yaml --
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: catalog, namespace: shop}
spec:
  service: catalog
`

// caller is the proxy of order, with catalog's versions behind it in plaintext.
type caller struct {
	address string
	envoy   *envoytest.Envoy
	v1, v2  *envoytest.Echo
}

// runCaller starts order's real Envoy under a route for catalog.
func runCaller(t *testing.T, route string, more ...string) *caller {
	t.Helper()
	return runCallerOf(t, shop+indent(route)+strings.Join(more, ""), nil)
}

// runCallerOf starts it under a whole policy, with further endpoints by cluster.
func runCallerOf(t *testing.T, policy string, endpoints map[string]string) *caller {
	t.Helper()
	envoytest.Require(t)
	m := checked(t, txtar.Parse([]byte(policy)))
	c := &caller{
		address: freeAddress(t),
		v1:      envoytest.RunEcho(t, "catalog", "v1"), v2: envoytest.RunEcho(t, "catalog", "v2"),
	}
	all := map[string][]string{
		"outbound|8080||catalog.shop":   {c.v1.Address()},
		"outbound|8080|v1|catalog.shop": {c.v1.Address()},
		"outbound|8080|v2|catalog.shop": {c.v2.Address()},
	}
	for cluster, address := range endpoints {
		all[cluster] = []string{address}
	}
	ca := newAuthority(t)
	cert, key := ca.issue(t, "spiffe://shop.example/ns/shop/sa/order")
	slice := build(t, m, "shop/order", open)
	b, err := xds.StaticBootstrap(xds.Slice{Listeners: outboundOnly(slice.Listeners), Routes: slice.Routes, Clusters: slice.Clusters},
		xds.StaticOptions{
			Certificate: cert, Key: key, Roots: ca.roots(), Node: "order",
			Bind: map[string]string{"outbound": c.address}, Endpoints: all})
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range b.StaticResources.Clusters {
		if _, isEcho := all[cluster.Name]; isEcho {
			cluster.TransportSocket = nil // the echoes have no proxies
		}
	}
	text, err := xds.JSON(b)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(outside), []byte("127.0.0.1"))
	c.envoy = envoytest.Run(t, envoytest.Options{Bootstrap: text})
	return c
}

// outside stands in policy for this machine, which no external service may be at.
const outside = "192.0.2.1"

func outboundOnly(l *xds.List) *xds.List {
	out := &xds.List{}
	for _, r := range l.Resources {
		if r.Name == "outbound" {
			out.Resources = append(out.Resources, r)
		}
	}
	return out
}

func indent(route string) string {
	var out strings.Builder
	for line := range strings.Lines(route) {
		out.WriteString("  " + line)
	}
	return out.String()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ip := envoytest.Loopback()
	port, err := envoytest.FreePort(ip)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(ip, strconv.Itoa(port))
}

// ask sends a request and says what came of it in one line: the version and the
// path that it received, or Envoy's own status and location.
func (c *caller) ask(t *testing.T, r envoytest.Request) string {
	t.Helper()
	if r.Host == "" {
		r.Host = "catalog:8080"
	}
	response, err := envoytest.Send(t.Context(), c.address, r)
	if err != nil {
		return err.Error()
	}
	if got, err := response.Received(); err == nil {
		if got.Query != "" {
			got.Path += "?" + got.Query
		}
		return fmt.Sprintf("%s %s", got.Version, got.Path)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", response.Status, response.Headers.Get("Location")))
}

func (c *caller) want(t *testing.T, r envoytest.Request, want string) {
	t.Helper()
	if got := c.ask(t, r); got != want {
		t.Errorf("%s %s %s %v: got %q, want %q", r.Method, r.Host, r.Path, r.Headers, got, want)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
rules:
- {name: all}
`)
	for _, host := range []string{"catalog:8080", "catalog.shop:8080", "CATALOG.shop.svc:8080", "catalog.shop.svc.cluster.local:8080"} {
		c.want(t, envoytest.Request{Host: host, Path: "/a"}, "v1 /a")
		c.want(t, envoytest.Request{Host: host, Path: "/a", Absolute: true}, "v1 /a")
	}
	// Without a port the authority means 80, which catalog does not have.
	for _, host := range []string{"catalog", "catalog.other:8080", "catalog:80", "example.com"} {
		c.want(t, envoytest.Request{Host: host}, "502")
	}
}

func TestPrefixIsOfSegments(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
unmatched: not-found
rules:
- {name: slash, match: [{path: {prefix: /a}}], rewrite: {path: {prefix: /}}, to: [{version: v1}]}
- {name: deep, match: [{path: {prefix: /b/c}}], rewrite: {path: {prefix: /x}}, to: [{version: v1}]}
- {name: full, match: [{path: {prefix: /f}}], rewrite: {path: {full: /new}}, to: [{version: v1}]}
- {name: regex, match: [{path: {regex: "/r/(.*)"}}], rewrite: {path: {regex: {pattern: "^/r/(.*)$", substitution: '/s/\1'}}}, to: [{version: v2}]}
- {name: template, match: [{path: {template: "/charges/{id}/refund"}}], to: [{version: v2}]}
- {name: moved, match: [{path: {prefix: /old}}], redirect: {path: {prefix: /}, status: 308}}
`)
	for path, want := range map[string]string{
		"/a": "v1 /", "/a/": "v1 /", "/a/b?q=1": "v1 /b?q=1", "/ab": "404",
		"/b/c": "v1 /x", "/b/c/d": "v1 /x/d", "/b/cd": "404",
		"/f/g?q=1":          "v1 /new?q=1",
		"/r/x/y":            "v2 /s/x/y",
		"/charges/7/refund": "v2 /charges/7/refund", "/charges/7/8/refund": "404", "/charges//refund": "404",
		"/old/x?q=1": "308 http://catalog:8080/x?q=1", "/old": "308 http://catalog:8080/", "/older": "404",
	} {
		c.want(t, envoytest.Request{Path: path}, want)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
unmatched: service
rules:
- {name: inverted, match: [{path: {exact: /h}, headers: {x-team: {exact: blue, invert: true}}}], to: [{version: v2}]}
- {name: empty, match: [{path: {exact: /e}, headers: {x-team: {regex: "(blue)?", invert: true}}}], to: [{version: v2}]}
- {name: absent, match: [{path: {exact: /p}, headers: {x-team: {present: true, invert: true}}}], to: [{version: v2}]}
- {name: query, match: [{path: {exact: /q}, query: {v: {exact: "2"}}}], to: [{version: v2}]}
- {name: noquery, match: [{path: {exact: /n}, query: {v: {present: true, invert: true}}}], to: [{version: v2}]}
- {name: cookie, match: [{path: {exact: /c}, cookies: {v: {exact: "2"}}}], to: [{version: v2}]}
- {name: methods, match: [{path: {exact: /m}, methods: [PUT, POST]}], to: [{version: v2}]}
`)
	team := func(value string) http.Header { return http.Header{"X-Team": {value}} }
	for _, test := range []struct {
		request envoytest.Request
		version string
	}{
		{envoytest.Request{Path: "/h"}, "v2"},
		{envoytest.Request{Path: "/h", Headers: team("red")}, "v2"},
		{envoytest.Request{Path: "/h", Headers: team("blue")}, "v1"},
		{envoytest.Request{Path: "/e"}, "v2"}, // absent is not the empty value
		{envoytest.Request{Path: "/e", Headers: team("red")}, "v2"},
		{envoytest.Request{Path: "/e", Headers: team("blue")}, "v1"},
		{envoytest.Request{Path: "/p"}, "v2"},
		{envoytest.Request{Path: "/p", Headers: team("red")}, "v1"},
		{envoytest.Request{Path: "/q?v=2"}, "v2"},
		{envoytest.Request{Path: "/q?v=3"}, "v1"},
		{envoytest.Request{Path: "/n"}, "v2"},
		{envoytest.Request{Path: "/n?v=1"}, "v1"},
		{envoytest.Request{Path: "/c", Headers: http.Header{"Cookie": {"a=1; v=2"}}}, "v2"},
		{envoytest.Request{Path: "/c", Headers: http.Header{"Cookie": {"a=1; v=22"}}}, "v1"},
		{envoytest.Request{Path: "/m", Method: "POST"}, "v2"},
		{envoytest.Request{Path: "/m", Method: "PATCH"}, "v1"},
	} {
		c.want(t, test.request, test.version+" "+test.request.Path)
	}
}

func TestRetryByMethod(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
unmatched: service
rules:
- {name: retried, match: [{path: {prefix: /r}}], retry: {attempts: 2, conditions: [reset], statuses: [503]}}
`)
	c.v1.Answer("/r", envoytest.Answer{FailTries: 2})
	for method, tries := range map[string]int{"GET": 3, "POST": 1} {
		response, err := envoytest.Send(t.Context(), c.address, envoytest.Request{Method: method, Host: "catalog:8080", Path: "/r",
			// A caller cannot have its POST repeated against the route.
			Headers: http.Header{"X-Envoy-Retry-On": {"5xx"}, "X-Envoy-Max-Retries": {"5"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.v1.Count(method, "/r"); got != tries {
			t.Errorf("%s arrived %d times, want %d; status %d", method, got, tries, response.Status)
		}
	}
}

func TestFallback(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
rules:
- {name: v1, match: [{path: {prefix: /v1}}], to: [{version: v1}]}
- {name: v2, to: [{version: v2}]}
`, `
-- traffic.yaml --
apiVersion: mesh-compile.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: catalog, namespace: shop}
spec:
  service: catalog
  versions:
  - name: v1
    circuitBreaker: {maxRequests: 1}
    fallback: {when: [overflow], respond: {status: 203, body: '{"stock":"100%"}', headers: {content-type: application/json, x-fallback: "100%"}}}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: order, namespace: shop}
spec:
  service: order
  fallback: {when: [no-healthy-endpoint], respond: {status: 204}}
`)
	c.v1.Answer("/v1", envoytest.Answer{Delay: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() { envoytest.Send(ctx, c.address, envoytest.Request{Host: "catalog:8080", Path: "/v1"}) })
	defer busy.Wait()
	defer cancel()
	if err := envoytest.Until(t.Context(), func() error {
		if c.v1.Count("", "/v1") == 0 {
			return errors.New("the first request has not arrived")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	response, err := envoytest.Send(t.Context(), c.address, envoytest.Request{Host: "catalog:8080", Path: "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%d %s %s %s", response.Status, response.Headers["Content-Type"], response.Headers["X-Fallback"], response.Body)
	if want := `203 [application/json] [100%] {"stock":"100%"}`; got != want {
		t.Errorf("fallback: got %s, want %s", got, want)
	}
	c.want(t, envoytest.Request{Path: "/v2"}, "v2 /v2")
	c.want(t, envoytest.Request{Host: "order:8080"}, "204") // it has no endpoint
}
