package xds_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/envoymatch"
	"github.com/mesh-compile/mesh-compile/compiler/mesh"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// noAdmin denies a host.
func noAdmin(*check.Workload, *check.Inbound) xds.PortAccess {
	admin := envoymatch.Header(mesh.HeaderMatch{Name: ":authority", StringMatch: mesh.StringMatch{
		Kind: mesh.Regex, Value: `(?i:admin\.example)(?::[0-9]*)?`}})
	return xds.PortAccess{HTTP: []*rbacv3.RBAC{{Rules: &rbacconfigv3.RBAC{Action: rbacconfigv3.RBAC_DENY,
		Policies: map[string]*rbacconfigv3.Policy{"admin": {
			Permissions: []*rbacconfigv3.Permission{{Rule: &rbacconfigv3.Permission_Header{Header: admin}}},
			Principals:  []*rbacconfigv3.Principal{{Identifier: &rbacconfigv3.Principal_Any{Any: true}}},
		}}}}}}
}

func TestHostHasOneSpelling(t *testing.T) {
	t.Parallel()
	ca, app := newAuthority(t), envoytest.RunEcho(t, "catalog", "v1")
	address, _ := runCalleeOf(t, build(t, shopMesh(t), "shop/catalog-v1", noAdmin), ca, catalogID, app.Address())
	for host, want := range map[string]int{
		"admin.example": 403, "Admin.Example:80": 403, "admin.example.": 403, "admin.example.:80": 403, "admin.example:": 403,
		"admin.example.org": 200, "xadmin.example": 200,
	} {
		response, err := envoytest.Send(t.Context(), address, envoytest.Request{Host: host, TLS: ca.client(t, orderID)})
		if err != nil || response.Status != want {
			t.Errorf("host %q: status %d, error %v, want %d", host, response.Status, err, want)
		}
	}
}

// What a caller writes into headers changes neither what the callee's log says
// of it nor how the callee's proxy treats the request.
func TestCallerForgesNothing(t *testing.T) {
	t.Parallel()
	ca, app := newAuthority(t), envoytest.RunEcho(t, "catalog", "v1")
	address, envoy := runCalleeOf(t, build(t, shopMesh(t), "shop/catalog-v1", open), ca, catalogID, app.Address())
	app.Answer("/real", envoytest.Answer{Status: 500, Delay: 200 * time.Millisecond})
	response, err := envoytest.Send(t.Context(), address, envoytest.Request{Path: "/real?secret", TLS: ca.client(t, orderID), Headers: http.Header{
		"X-Forwarded-For":       {"10.9.8.7"}, // a private address
		"X-Envoy-Original-Path": {"/forged"},
		"X-Envoy-Internal":      {"true"}, "X-Envoy-Retry-On": {"5xx"}, "X-Envoy-Max-Retries": {"9"}, "X-Envoy-Upstream-Rq-Timeout-Ms": {"50"},
	}})
	if err != nil || response.Status != 500 {
		t.Errorf("status %d, error %v, want the application's 500", response.Status, err)
	}
	if got := app.Received(); len(got) != 1 || got[0].Headers.Get("X-Envoy-Internal") != "" {
		t.Errorf("the application received %v, want one request from outside", got)
	}
	if err := envoytest.Until(t.Context(), func() error {
		if !strings.Contains(envoy.Log(), `"path":"/real"`) {
			return errors.New("the access log does not have the path")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if log := envoy.Log(); strings.Contains(log, "forged") || strings.Contains(log, "10.9.8.7") || strings.Contains(log, "secret") {
		t.Errorf("the log has what the caller wrote: %s", log)
	}
}

const upgraded = `
-- traffic.yaml --
apiVersion: mesh-compile.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: catalog, namespace: shop}
spec: {service: catalog, connections: {http2: true}}
`

// runHTTP1 is an application that speaks HTTP/1.1 alone, and takes WebSockets.
func runHTTP1(t *testing.T) string {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" && r.Method == "GET" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			return
		}
		fmt.Fprint(w, r.Proto)
	}))
	t.Cleanup(app.Close)
	return app.Listener.Addr().String()
}

// Between proxies a policy may want HTTP/2; the application's port says http.
func TestUpgradeEndsAtTheProxy(t *testing.T) {
	t.Parallel()
	m, ca := shopMesh(t, upgraded), newAuthority(t)
	catalog, envoy := runCalleeOf(t, build(t, m, "shop/catalog-v1", open), ca, catalogID, runHTTP1(t))
	order := runOrder(t, m, ca, catalog)
	response, err := envoytest.Send(t.Context(), order.address, envoytest.Request{Host: "catalog:8080"})
	if err != nil || string(response.Body) != "HTTP/1.1" {
		t.Errorf("status %d, body %q, error %v, want the application to see HTTP/1.1", response.Status, response.Body, err)
	}
	if stats, err := envoy.Stats("http.inbound|8080.downstream_cx_http2_total"); err != nil || stats["http.inbound|8080.downstream_cx_http2_total"] == 0 {
		t.Errorf("the callee's proxy counts %v, error %v, want HTTP/2", stats, err)
	}
	if got := askWebSocket(t, order.address); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		t.Errorf("WebSocket: got %q, want 101", got)
	}
}

func askWebSocket(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: catalog:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

func TestCalleeWaitsAsLongAsRoutes(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[string]string{
		"streamIdleTimeout: 1h, ": `"idleTimeout": "3600s"`, "streamIdleTimeout: 10s, ": "", "": "",
	} {
		m := shopMesh(t, `
-- other.yaml --
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: order, namespace: shop}
spec: {service: order, rules: [{name: elsewhere, `+timeout+`to: [{service: catalog, port: 8080}]}]}
`)
		text := string(static(t, build(t, m, "shop/catalog-v1", open), xds.StaticOptions{}))
		_, inbound, _ := strings.Cut(text, `"name": "inbound|8080"`)
		inbound, _, _ = strings.Cut(inbound, `"name": "outbound"`)
		if strings.Contains(inbound, `"idleTimeout"`) != (want != "") || !strings.Contains(inbound, want) {
			t.Errorf("%q: the callee's route does not have %q alone:\n%s", timeout, want, inbound)
		}
	}
}
