package xds_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// runGreeter is a server that speaks first, and the address that it has.
func runGreeter(t *testing.T) string {
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
			io.WriteString(conn, "hello\n") //nolint:errcheck // the test sees what came
			conn.Close()
		}
	}()
	return l.Addr().String()
}

// greeting is what a client hears that says nothing, and after how long.
func greeting(t *testing.T, address string) (string, time.Duration) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	start := time.Now()
	text, _ := io.ReadAll(conn) // a refusal has no text
	return string(text), time.Since(start)
}

// serverFirst is a database that speaks first, beside a TLS port for whose sake
// the captured listener looks at what clients say.
const serverFirst = `
-- shop.yaml --
apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec: {trustDomain: shop.example}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: order, namespace: shop}
spec: {service: order, serviceAccount: order, capture: redirect, ports: [{port: 8080, protocol: http}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: catalog, namespace: shop}
spec: {service: catalog, serviceAccount: catalog, capture: redirect, ports: [{port: 8443, protocol: tls}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: database, namespace: shop}
spec: {service: database, serviceAccount: database, capture: none, ports: [{port: PORT, protocol: tcp}]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: AuthenticationPolicy
metadata: {name: database, namespace: shop}
spec: {workload: database, mtls: {mode: permissive, expires: "2030-01-01T00:00:00Z"}}
`

func TestServerMaySpeakFirst(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	ca, greeter := newAuthority(t), runGreeter(t)
	run := func(t *testing.T, workload, listener, cluster string) string {
		address := freeAddress(t) // without a redirection, its port is the original one
		port := address[strings.LastIndexByte(address, ':')+1:]
		m := checked(t, txtar.Parse([]byte(strings.ReplaceAll(serverFirst, "PORT", port))))
		cluster, listener = strings.ReplaceAll(cluster, "PORT", port), strings.ReplaceAll(listener, "PORT", port)
		cert, key := ca.issue(t, orderID)
		b, err := xds.StaticBootstrap(build(t, m, workload, open), xds.StaticOptions{
			Certificate: cert, Key: key, Roots: ca.roots(), Node: "first",
			Bind:      map[string]string{"inbound": freeAddress(t), "outbound": freeAddress(t), listener: address},
			Endpoints: map[string][]string{cluster: {greeter}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.StaticResources.Clusters {
			c.TransportSocket = nil
		}
		text, err := xds.JSON(b)
		if err != nil {
			t.Fatal(err)
		}
		envoytest.Run(t, envoytest.Options{Bootstrap: text})
		return address
	}
	for _, test := range []struct {
		name, workload, listener, cluster string
		within                            time.Duration
	}{
		{"captured, beside TLS", "shop/order", "outbound", "outbound|PORT||database.shop", 4 * time.Second},
		{"permissive", "shop/database", "inbound|PORT", "inbound|PORT", 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address := run(t, test.workload, test.listener, test.cluster)
			if got, took := greeting(t, address); got != "hello\n" || took > test.within {
				t.Errorf("heard %s after %v, want a greeting within %v", fmt.Sprintf("%q", got), took, test.within)
			}
		})
	}
}
