package xds_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

func TestFaultIsOnlyOfItsRoute(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
unmatched: service
rules:
- {name: abort, match: [{path: {prefix: /abort}}], fault: {abort: {percent: 100, status: 418}, expires: "2099-01-01T00:00:00Z"}}
- {name: delay, match: [{path: {prefix: /delay}}], timeout: 100ms, fault: {delay: {percent: 100, duration: 300ms}, expires: "2099-01-01T00:00:00Z"}}
`)
	c.want(t, envoytest.Request{Path: "/abort"}, "418")
	c.want(t, envoytest.Request{Path: "/other"}, "v1 /other")
	// A caller cannot ask for a fault.
	c.want(t, envoytest.Request{Path: "/other", Headers: http.Header{
		"X-Envoy-Fault-Abort-Request": {"503"}, "X-Envoy-Fault-Abort-Request-Percentage": {"100"}}}, "v1 /other")
	start := time.Now()
	c.want(t, envoytest.Request{Path: "/delay"}, "v1 /delay")
	// Envoy's timers and ours round differently.
	if took := time.Since(start); took < 290*time.Millisecond {
		t.Errorf("a delay of 300ms took %v", took)
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
unmatched: service
rules:
- {name: shared, match: [{path: {prefix: /shared}}], cors: {allowOrigins: [{exact: "https://shop.example"}], allowMethods: [PUT], maxAge: 10m}}
`)
	preflight := func(path, origin string) string {
		response, err := envoytest.Send(t.Context(), c.address, envoytest.Request{Method: "OPTIONS", Host: "catalog:8080", Path: path,
			Headers: http.Header{"Origin": {origin}, "Access-Control-Request-Method": {"PUT"}}})
		if err != nil {
			t.Fatal(err)
		}
		return response.Headers.Get("Access-Control-Allow-Origin") + response.Headers.Get("Access-Control-Allow-Methods")
	}
	for _, test := range []struct{ path, origin, want string }{
		{"/shared", "https://shop.example", "https://shop.examplePUT"},
		{"/shared", "https://evil.example", ""},
		{"/other", "https://shop.example", ""},
	} {
		if got := preflight(test.path, test.origin); got != test.want {
			t.Errorf("preflight of %s from %s: got %q, want %q", test.path, test.origin, got, test.want)
		}
	}
}

func TestHeadersAreLiteral(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
rules:
- name: headers
  requestHeaders: {set: {x-set: "%ENVIRONMENT(HOME)% 50%"}, add: {x-add: more}, remove: [x-remove]}
  responseHeaders: {set: {x-response: "100%"}}
  rewrite: {host: catalog.internal}
`)
	response, err := envoytest.Send(t.Context(), c.address, envoytest.Request{Host: "catalog:8080", Path: "/",
		Headers: http.Header{"X-Set": {"old"}, "X-Add": {"first"}, "X-Remove": {"gone"}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := response.Received()
	if err != nil {
		t.Fatal(err)
	}
	summary := fmt.Sprint(got.Headers["X-Set"], got.Headers["X-Add"], got.Headers["X-Remove"], response.Headers["X-Response"], " ", got.Host)
	if want := "[%ENVIRONMENT(HOME)% 50%] [first more] [] [100%] catalog.internal"; summary != want {
		t.Errorf("got %s, want %s", summary, want)
	}
}

func TestStickyKeepsItsVersion(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
rules:
- name: split
  sticky: {header: x-user}
  to: [{version: v1, weight: 50}, {version: v2, weight: 50}]
`)
	for user := range 10 {
		r := envoytest.Request{Path: "/", Headers: http.Header{"X-User": {fmt.Sprint("user-", user)}}}
		first := c.ask(t, r)
		for range 5 {
			c.want(t, r, first)
		}
	}
	if c.v1.Count("", "") == 0 || c.v2.Count("", "") == 0 {
		t.Errorf("v1 got %d requests and v2 %d, want both some", c.v1.Count("", ""), c.v2.Count("", ""))
	}
}

func TestMirror(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
rules:
- {name: copied, mirror: {version: v2, percent: 100}, to: [{version: v1}]}
`)
	c.v2.Answer("", envoytest.Answer{Status: 500})
	c.want(t, envoytest.Request{Path: "/a"}, "v1 /a")
	if err := envoytest.Until(t.Context(), func() error {
		if got := c.v2.Received(); len(got) != 1 || got[0].Host != "catalog:8080" {
			return fmt.Errorf("the copies are %v", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestTimeoutAndStreams(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
rules:
- {name: short, match: [{path: {prefix: /short}}], timeout: 100ms}
- {name: endless, timeout: 0s, streamIdleTimeout: 30s}
`)
	c.v1.Answer("/short", envoytest.Answer{Delay: 10 * time.Second})
	c.v1.Answer("/endless", envoytest.Answer{Delay: 200 * time.Millisecond})
	c.want(t, envoytest.Request{Path: "/short"}, "504")
	c.want(t, envoytest.Request{Path: "/endless"}, "v1 /endless")
}

// CONNECT through the explicit proxy leads to ports that are not HTTP, and to no
// others.
func TestConnect(t *testing.T) {
	t.Parallel()
	c := runCallerOf(t, strings.ReplaceAll(shop, "version: v1, serviceAccount: catalog, capture: none, ports: [{port: 8080, protocol: http}]",
		"version: v1, serviceAccount: catalog, capture: none, ports: [{port: 8080, protocol: http}, {port: 5432, protocol: tcp}]")+"  rules: [{name: all}]\n",
		map[string]string{"outbound|5432||catalog.shop": echoBytes(t)})
	for authority, want := range map[string]string{
		"catalog.shop:5432": "200 hello", "catalog.shop:8080": "404", "example.com:443": "404",
	} {
		if got := connect(t, c.address, authority); got != want {
			t.Errorf("CONNECT %s: got %q, want %q", authority, got, want)
		}
	}
}

// echoBytes sends back what it is sent.
func echoBytes(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", envoytest.Loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func connect(t *testing.T, proxy, authority string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", proxy, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Sprint(response.StatusCode)
	}
	fmt.Fprint(conn, "hello")
	answer := make([]byte, 5)
	if _, err := io.ReadFull(reader, answer); err != nil {
		t.Fatal(err)
	}
	return "200 " + string(answer)
}

func TestOriginatedTLSVerifiesTheServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.ServerName, " ", r.Host)
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	roots := strings.ReplaceAll(string(encodePEM("CERTIFICATE", server.Certificate().Raw)), "\n", "\n      ")
	external := func(name, hosts string) string {
		return fmt.Sprintf(`---
apiVersion: mesh-compile.dev/v1alpha1
kind: ExternalService
metadata: {name: %s, namespace: shop}
spec:
  hosts: [%s]
  ports: [{port: 80, protocol: http}]
  resolution: static
  endpoints: [{address: %s, port: %s}]
  tls:
    mode: simple
    caCertificates: |
      %s
`, name, hosts, outside, port, roots)
	}
	c := runCallerOf(t, shop+"  rules: [{name: all}]\n"+
		external("named", "example.com")+external("other", "other.example")+external("several", `"*.example.com", example.net`), nil)
	for authority, want := range map[string]string{ // httptest's certificate is for example.com and *.example.com
		"example.com":     "200 example.com example.com",
		"other.example":   "503",
		"api.example.com": "200 api.example.com api.example.com",
		"example.net":     "503",
	} {
		response, err := envoytest.Send(t.Context(), c.address, envoytest.Request{Host: authority})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %s", response.Status, response.Body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", authority, got, want)
		}
	}
}

func TestHTTP2Upstream(t *testing.T) {
	t.Parallel()
	for protocol, want := range map[string]string{"http": "HTTP/1.1", "http2": "HTTP/2.0", "grpc": "HTTP/2.0"} {
		c := runCallerOf(t, strings.ReplaceAll(shop, "protocol: http", "protocol: "+protocol)+"  rules: [{name: all}]\n", nil)
		c.want(t, envoytest.Request{Path: "/"}, "v1 /")
		if got := c.v1.Received(); len(got) != 1 || got[0].Proto != want {
			t.Errorf("a port of protocol %s received %v, want one request over %s", protocol, got, want)
		}
	}
}

// What a native mesh refuses before any rule is asked.
func TestAmbiguousRequestsAreRefused(t *testing.T) {
	t.Parallel()
	c := runCaller(t, `
unmatched: not-found
rules:
- {name: admin, match: [{path: {exact: /a/b}}]}
`)
	for path, want := range map[string]string{
		"/a/b": "v1 /a/b", "/a//b": "v1 /a/b", "/a/c/../b": "v1 /a/b", "/a/./b": "v1 /a/b",
		"/a%2Fb": "400", "/a%5cb": "400",
	} {
		c.want(t, envoytest.Request{Path: path}, want)
	}
	c.want(t, envoytest.Request{Path: "/a/b", Headers: http.Header{"X_Team": {"blue"}}}, "400")
}
