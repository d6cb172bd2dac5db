package envoytest_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// bootstrap reads testdata/route.json and puts in where Envoy listens and where the upstream is.
func bootstrap(t *testing.T, listen string, echo *envoytest.Echo) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/route.json")
	if err != nil {
		t.Fatal(err)
	}
	ip, port, _ := strings.Cut(listen, ":")
	return []byte(strings.NewReplacer(
		"LISTEN_IP", ip, `"LISTEN_PORT"`, port,
		"ECHO_IP", echo.IP(), `"ECHO_PORT"`, fmt.Sprint(echo.Port()),
	).Replace(string(text)))
}

// freeAddress is where the test's Envoy listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	ip := envoytest.Loopback()
	port, err := envoytest.FreePort(ip)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s:%d", ip, port)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	good := bootstrap(t, "127.0.0.1:10000", envoytest.RunEcho(t, "catalog", "v1"))
	if err := envoytest.Validate(t.Context(), good); err != nil {
		t.Errorf("a good bootstrap: %v", err)
	}

	twice := strings.ReplaceAll(string(good), "other.example", "catalog")
	err := envoytest.Validate(t.Context(), []byte(twice))
	const words = "Only unique values for domains are permitted. Duplicate entry of domain catalog"
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("a duplicate domain: got %v, want %q", err, words)
	}
}

func TestRequestThroughEnvoy(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	echo := envoytest.RunEcho(t, "catalog", "v1")
	listen := freeAddress(t)
	envoy := envoytest.Run(t, envoytest.Options{Bootstrap: bootstrap(t, listen, echo)})

	for _, absolute := range []bool{false, true} {
		response, err := envoytest.Send(t.Context(), listen, envoytest.Request{
			Method: "PUT", Host: "catalog", Path: "/a%2Fb/../c?q=%20", Absolute: absolute,
			Headers: http.Header{"X-Team": {"shop"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := response.Received()
		if err != nil {
			t.Fatal(err)
		}
		if team := got.Headers.Get("X-Team"); team != "shop" {
			t.Errorf("x-team is %q", team)
		}
		got.Headers = nil
		want := envoytest.Received{Name: "catalog", Version: "v1", Attempt: 1, Method: "PUT",
			Path: "/a%2Fb/../c", Query: "q=%20", Host: "catalog", Proto: "HTTP/1.1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("absolute %t (-want +got):\n%s", absolute, diff)
		}
	}

	stats, err := envoy.Stats("cluster.catalog.upstream_rq_2")
	if err != nil || stats["cluster.catalog.upstream_rq_200"] != 2 {
		t.Errorf("stats %v, error %v", stats, err)
	}
	dump, err := envoy.ConfigDump()
	if err != nil || !strings.Contains(string(dump), `"route_config"`) {
		t.Errorf("config dump of %d bytes, error %v", len(dump), err)
	}
}

func TestRetriesAreCounted(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	echo := envoytest.RunEcho(t, "catalog", "v1")
	listen := freeAddress(t)
	envoytest.Run(t, envoytest.Options{Bootstrap: bootstrap(t, listen, echo)})

	for path, answer := range map[string]envoytest.Answer{
		"/first": {FailFirst: 2},
		"/tries": {FailTries: 2},
		"/reset": {FailTries: 2, Reset: true},
	} {
		echo.Answer(path, answer)
		response, err := envoytest.Send(t.Context(), listen, envoytest.Request{Host: "catalog", Path: path})
		if err != nil {
			t.Fatal(err)
		}
		got, err := response.Received()
		if err != nil || response.Status != http.StatusOK || got.Attempt != 3 || echo.Count("GET", path) != 3 {
			t.Errorf("%s: status %d, attempt %d, %d requests, error %v; want 200 at the third attempt",
				path, response.Status, got.Attempt, echo.Count("GET", path), err)
		}
	}
}

func TestExitIsReported(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	envoy, err := envoytest.Start(t.Context(), envoytest.Options{Bootstrap: []byte(`{"no_such_field": 1}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer envoy.Stop()
	if err := envoy.WaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "no_such_field") {
		t.Errorf("got %v, want Envoy's words about no_such_field", err)
	}
}
