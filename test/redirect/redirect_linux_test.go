// Package redirect_test captures connections as a pod's rules do, in a network
// namespace, and asks a real Envoy where they go.
//
// In: testdata/mesh.yaml, whose workloads have capture redirect. The rules send what
// carries the application's mark to the outbound listener; Envoy learns the
// original destination from the kernel (SO_ORIGINAL_DST).
package redirect_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"golang.org/x/sys/unix"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
	"github.com/mesh-compile/mesh-compile/test/outboundtest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// Where the destinations of the tests are. Services have addresses that no program
// listens on: the proxy goes to their endpoints.
const (
	serviceIP = "10.0.3.4"
	catalogV1 = "10.244.9.11"
	catalogV2 = "10.244.9.12"
	database  = "10.244.9.13"
	rates     = "10.244.9.1"
	stranger  = "10.244.9.99"
	portal    = "10.244.9.20"
)

func TestOutbound(t *testing.T) {
	kubetest.RequireNamespace(t)
	envoytest.Require(t)
	for name, address := range map[string]string{"v1": catalogV1 + ":8080", "v2": catalogV2 + ":8080", "database": database + ":5432",
		"rates": rates + ":8443", "stranger:8080": stranger + ":8080", "stranger:5432": stranger + ":5432", "stranger:9999": stranger + ":9999"} {
		echo, err := envoytest.NewEcho(name, name, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(echo.Close)
	}
	redirect(t, xds.OutboundPort)
	m := compile(t)
	eval := reach.New(m)
	for _, workload := range []string{"shop/order", "shop/report"} {
		t.Run(workload, func(t *testing.T) {
			outboundtest.Run(t, m, workload, map[string][]string{
				"outbound|8080|v1|catalog.shop": {catalogV1 + ":8080"}, "outbound|8080|v2|catalog.shop": {catalogV2 + ":8080"},
				"outbound|5432||database.shop": {database + ":5432"}, "outbound|8443||rates.example.com": {rates + ":8443"},
			})
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) { c.check(t, eval, workload) })
			}
		})
	}
}

// A connection of the application. Both workloads must be served alike, unless the
// destination is a stranger to the mesh.
type connection struct {
	name    string
	to      string // where the application connects to
	host    string // of an HTTP request
	headers http.Header
	sni     string // TLS from the application
	served  string // who answers both; "": nobody answers order
	anyone  string // who answers report where order is refused
	status  int    // that order sees; 0: its connection is closed
	http    bool   // the evaluator is asked as well, by host
}

var cases = []connection{
	{name: "service", to: serviceIP + ":8080", host: "catalog:8080", served: "v1", http: true},
	{name: "service in full", to: serviceIP + ":8080", host: "catalog.shop.svc.cluster.local:8080", served: "v1", http: true},
	{name: "rule", to: serviceIP + ":8080", host: "catalog.shop:8080", headers: http.Header{"X-Next": {"1"}}, served: "v2", http: true},
	{name: "TCP service", to: serviceIP + ":5432", host: "anything", served: "database"},
	{name: "external TLS by SNI", to: rates + ":8443", sni: "rates.example.com", served: "rates"},
	{name: "unknown SNI", to: rates + ":8443", sni: "other.example.com", anyone: "rates"},
	{name: "unknown host on a known port", to: stranger + ":8080", host: "stranger.example.com:8080", anyone: "stranger:8080", status: http.StatusBadGateway, http: true},
	{name: "unknown port", to: stranger + ":9999", host: "stranger.example.com:9999", anyone: "stranger:9999"},
}

func (c connection) check(t *testing.T, eval *reach.Evaluator, workload string) {
	want, status := c.served, http.StatusOK
	if want == "" && workload == "shop/report" {
		want = c.anyone
	}
	if want == "" {
		status = c.status
	}
	if c.http {
		r, err := eval.Evaluate(reach.Request{From: workload, To: c.host, Path: "/", Headers: map[string][]string(lower(c.headers))})
		if err != nil {
			t.Fatal(err)
		}
		if refused := r.Status != 0; refused != (want == "") || refused && int(r.Status) != status {
			t.Errorf("the evaluator says %d %s", r.Status, r.Reason)
		}
	}
	request := envoytest.Request{Host: c.host, Headers: c.headers}
	if c.sni != "" {
		request.TLS = &tls.Config{ServerName: c.sni, InsecureSkipVerify: true} //nolint:gosec // who answers is asked, not proved
	}
	transport := &http.Transport{DialContext: marked.DialContext, TLSClientConfig: request.TLS, DisableKeepAlives: true}
	got, err := envoytest.SendOver(t.Context(), transport, c.to, request)
	if status == 0 {
		if err == nil {
			t.Errorf("want a closed connection, got %d by %s", got.Status, got.Headers.Get("X-Echo"))
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	if received, err := got.Received(); err == nil {
		name = received.Name
	}
	if got.Status != status || name != want {
		t.Errorf("want %d by %q, got %d by %q", status, want, got.Status, name)
	}
}

func lower(h http.Header) map[string][]string {
	out := map[string][]string{}
	for name, values := range h {
		out[string([]byte{name[0] | 0x20})+name[1:]] = values
	}
	return out
}

// marked dials as the application does whose connections are captured.
var marked = &net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark) }); e != nil {
		return e
	}
	return err
}}

func compile(t *testing.T) *check.Mesh {
	t.Helper()
	r, diags := compiler.Compile(os.DirFS("testdata"), compiler.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return r.Mesh
}

// TestInbound: what comes for a port of the workload reaches the application there,
// under that port's rules; another port is closed.
func TestInbound(t *testing.T) {
	kubetest.RequireNamespace(t)
	envoytest.Require(t)
	redirect(t, xds.InboundPort)
	app := map[string][]string{}
	for _, port := range []string{"8080", "9090"} {
		echo := envoytest.RunEcho(t, port, "")
		app["inbound|"+port] = []string{echo.Address()}
	}
	m := compile(t)
	slice, err := compiler.Slices(m)(m.Workload("front/portal"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := xds.StaticBootstrap(slice, xds.StaticOptions{Node: "front/portal", Endpoints: app})
	if err != nil {
		t.Fatal(err)
	}
	b.StaticResources.Listeners = slices.DeleteFunc(b.StaticResources.Listeners, func(l *listenerv3.Listener) bool { return l.Name != "inbound" })
	text, err := xds.JSON(b)
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Run(t, envoytest.Options{Bootstrap: text})
	for port, paths := range map[string]map[string]int{
		"8080": {"/open": http.StatusOK, "/other": http.StatusForbidden},
		"9090": {"/open": http.StatusForbidden, "/other": http.StatusOK},
		"7070": {"/open": 0},
	} {
		for path, want := range paths {
			transport := &http.Transport{DialContext: marked.DialContext, DisableKeepAlives: true}
			got, err := envoytest.SendOver(t.Context(), transport, portal+":"+port, envoytest.Request{Host: "portal:" + port, Path: path})
			received, _ := got.Received()
			if got.Status != want || (want == 0) != (err != nil) || want == http.StatusOK && received.Name != port {
				t.Errorf("%s of port %s: want %d, got %d by %q: %v", path, port, want, got.Status, received.Name, err)
			}
		}
	}
}
