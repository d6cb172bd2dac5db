package telemetry_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

// shop is four services that call each other in a chain.
type shop struct{ run *meshtest.Mesh }

var chain = []string{"front", "order", "catalog", "stock"}

// startShop runs the shop with fields of a TelemetryPolicy for its namespace.
func startShop(t *testing.T, telemetry string, outside map[string]string) *shop {
	t.Helper()
	return startWith(t, "apiVersion: mesh-compile.dev/v1alpha1\nkind: TelemetryPolicy\nmetadata: {name: shop, namespace: shop}\nspec:\n  namespaceWide: true\n  "+telemetry+"\n", outside)
}

// startWith runs the shop with further documents.
func startWith(t *testing.T, documents string, outside map[string]string) *shop {
	t.Helper()
	envoytest.Require(t)
	files := fstest.MapFS{"telemetry.yaml": {Data: []byte(documents)}}
	paths, err := filepath.Glob("testdata/shop/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = &fstest.MapFile{Data: data}
	}
	compiled, diags := compiler.Compile(files, compiler.Options{})
	for i := range diags {
		t.Logf("%s: %s [%s]", diags[i].Span, diags[i].Message, diags[i].Code)
	}
	if diags.HasErrors() {
		t.FailNow()
	}
	var workloads []string
	for _, name := range chain {
		workloads = append(workloads, "shop/"+name)
	}
	run, err := meshtest.StartAs(t.Context(), meshtest.Options{Outside: outside}, compiled.Mesh, workloads...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run.Close)
	s := &shop{run}
	for i, name := range chain[1 : len(chain)-1] {
		next := chain[i+2]
		s.run.Echoes("shop/" + name)[0].Answer("/", envoytest.Answer{Then: func(came http.Header) {
			if answer, err := s.call(context.Background(), name, next, "/", traceHeaders(came)); err != nil || answer.Status != http.StatusOK {
				t.Errorf("%s asks %s: %d, %v", name, next, answer.Status, err)
			}
		}})
	}
	return s
}

// traceHeaders are what an application has to pass on, and nothing else.
func traceHeaders(came http.Header) http.Header {
	out := http.Header{}
	for name, values := range came {
		if strings.HasPrefix(name, "X-B3-") || name == "Traceparent" || name == "Tracestate" || name == "X-Request-Id" || name == "X-User" {
			out[name] = values
		}
	}
	return out
}

// call sends a request by the proxy of a workload.
func (s *shop) call(ctx context.Context, from, to, path string, headers http.Header) (envoytest.Response, error) {
	return envoytest.Send(ctx, s.run.Outbound("shop/"+from), envoytest.Request{
		Method: http.MethodGet, Host: to + ".shop:8080", Path: path, Headers: headers, Absolute: true,
	})
}

// send has front begin the chain, and returns the headers that its end received.
func (s *shop) send(t *testing.T, headers http.Header) http.Header {
	t.Helper()
	answer, err := s.call(t.Context(), "front", "order", "/", headers)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("front asks order: %d, %v", answer.Status, err)
	}
	received := s.run.Echoes("shop/stock")[0].Received()
	if len(received) == 0 {
		t.Fatal("the request did not come to the end of the chain")
	}
	return received[len(received)-1].Headers
}

// startZipkin starts a real Zipkin that keeps spans in memory.
func startZipkin(t *testing.T) (address string) {
	t.Helper()
	program := tools.Require(t, "zipkin")
	port, err := envoytest.FreePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	zipkin := exec.CommandContext(t.Context(), program)
	zipkin.Env = append(os.Environ(), "QUERY_PORT="+strconv.Itoa(port), "SELF_TRACING_ENABLED=false", "JAVA_TOOL_OPTIONS=-Xmx256m")
	zipkin.WaitDelay = 10 * time.Second
	log := &strings.Builder{}
	zipkin.Stdout, zipkin.Stderr = log, log
	if err := zipkin.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		zipkin.Wait() //nolint:errcheck // it was killed with the test's context
		if t.Failed() {
			t.Logf("Zipkin:\n%s", log)
		}
	})
	address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err = envoytest.Until(ctx, func() error {
		_, err := envoytest.Send(ctx, address, envoytest.Request{Path: "/health"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return address
}
