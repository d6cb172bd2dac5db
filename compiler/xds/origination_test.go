package xds_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

const outsideTLS = `
-- shop.yaml --
apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec: {trustDomain: shop.example, endpointCIDRs: [127.0.0.0/8]}
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: order, namespace: shop}
spec: {service: order, serviceAccount: order, capture: none, ports: [{port: 8080, protocol: http}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: shop}
spec:
  hosts: [bank.example.com, thief.example.com, partner.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: %[1]d}}]
  %[3]s
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank, namespace: shop}
spec: {host: bank.example.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: %[2]s}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: thief, namespace: shop}
spec: {host: thief.example.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: %[2]s}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: partner, namespace: shop}
spec: {host: partner.example.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: %[2]s, subjectAltNames: [bank.example.com]}}}
`

// TestOrigination: a proxy begins TLS with a ServiceEntry's host as its
// DestinationRule says, and sends nothing to who shows another name's certificate.
func TestOrigination(t *testing.T) {
	t.Parallel()
	envoytest.Require(t)
	ca := newAuthority(t)
	port := ca.serve(t, "bank.example.com")
	roots := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(roots, ca.roots(), 0o600); err != nil {
		t.Fatal(err)
	}
	for names, want := range map[string]map[string]int{
		"": {"bank.example.com": 200, "thief.example.com": 503, "partner.example.com": 200},
		// The ServiceEntry's names are for rules that have none of their own.
		"subjectAltNames: [other.example.com]": {"bank.example.com": 503, "thief.example.com": 503, "partner.example.com": 200},
	} {
		m := checked(t, txtar.Parse(fmt.Appendf(nil, outsideTLS, port, roots, names)))
		address := freeAddress(t)
		envoytest.Run(t, envoytest.Options{Bootstrap: static(t, build(t, m, "shop/order", open), xds.StaticOptions{
			Bind: map[string]string{"outbound": address, "inbound|8080": freeAddress(t)}})})
		for host, status := range want {
			got, err := envoytest.Send(t.Context(), address, envoytest.Request{Host: host, Path: "/", Absolute: true})
			if err != nil || got.Status != status {
				t.Errorf("%s with %q: status %d, error %v, want %d", host, names, got.Status, err, status)
			}
		}
	}
}

// serve answers requests over TLS as a host.
func (a *authority) serve(t *testing.T, host string) (port int) {
	t.Helper()
	own := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: own}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}
