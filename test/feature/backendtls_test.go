package feature_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/policytest"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

// backendTLS: the folder's bank is a server with TLS, whose CA is in the ConfigMap.
// Proxies call it with the server name of the policy, and answer 503 where its
// certificate has another name or is of another CA.
func backendTLS(t *testing.T, _ *check.Mesh, _ *meshtest.Mesh) {
	ours, strangers := newBankCA(t), newBankCA(t)
	uri := &url.URL{Scheme: "spiffe", Host: "bank.example", Path: "/ledger"}
	const other = "other.example.com"
	for _, c := range []struct {
		name  string
		ca    *bankCA
		names []string
		uri   *url.URL
		want  map[string]int // by case
	}{
		{"all names", ours, []string{bankName}, uri, map[string]int{"through a sidecar": 200, "another name of the certificate": 200, "through a gateway": 200, "the public roots": 503}},
		{"without the URI", ours, []string{bankName, other}, nil, map[string]int{"through a sidecar": 200, "another name of the certificate": 503}},
		{"another name", ours, []string{other}, uri, map[string]int{"through a sidecar": 503, "another name of the certificate": 200, "through a gateway": 503}},
		{"another CA", strangers, []string{bankName}, uri, map[string]int{"through a sidecar": 503, "another name of the certificate": 503, "through a gateway": 503}},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, seen := startBank(t, c.ca, c.names, c.uri)
			m := withBankCA(t, ours)
			run, err := meshtest.StartAs(t.Context(), meshtest.Options{Outside: map[string]string{"shop/bank": address}}, m, "shop/order", "shop/edge")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(run.Close)
			for _, r := range policytest.Run(m) {
				want, ok := c.want[r.Case.Name]
				if !ok {
					continue
				}
				got, err := run.Ask(t.Context(), r.Result)
				if err != nil {
					t.Fatalf("%s: %v", r.Case.Name, err)
				}
				if got.Status != want {
					t.Errorf("%s: status %d, want %d", r.Case.Name, got.Status, want)
				}
				sni := bankName
				if r.Case.Name == "another name of the certificate" {
					sni = other
				}
				if name := <-seen; name != sni {
					t.Errorf("%s: server name %q, want %q", r.Case.Name, name, sni)
				}
				for len(seen) > 0 { // of tries
					<-seen
				}
			}
		})
	}
}

const bankName = "bank.example.com"

type bankCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newBankCA(t *testing.T) *bankCA {
	t.Helper()
	ca := &bankCA{cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bank"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}}
	ca.key = newKey(t)
	ca.cert = sign(t, ca.cert, ca, ca.key)
	return ca
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template *x509.Certificate, by *bankCA, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// startBank serves with a certificate of the names, and says which server names its
// clients asked for.
func startBank(t *testing.T, ca *bankCA, names []string, uri *url.URL) (address string, seen chan string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if uri != nil {
		template.URIs = []*url.URL{uri}
	}
	key := newKey(t)
	cert := tls.Certificate{Certificate: [][]byte{sign(t, template, ca, key).Raw}, PrivateKey: key}
	seen = make(chan string, 100)
	listener, err := net.Listen("tcp", envoytest.Loopback()+":0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		TLSConfig: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			seen <- hello.ServerName
			return &cert, nil
		}},
	}
	server.SetKeepAlivesEnabled(false)   // each request shows its server name
	go server.ServeTLS(listener, "", "") //nolint:errcheck // it ends with the test
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String(), seen
}

// withBankCA is the folder with the certificate of a CA in its ConfigMap.
func withBankCA(t *testing.T, ca *bankCA) *check.Mesh {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{"mesh.yaml", "policy.yaml", "test.yaml"} {
		data, err := os.ReadFile(filepath.Join(features, "gatewayapi-backendtls", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	text := strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})))
	files["ca.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bank-ca, namespace: shop}\ndata:\n  ca.crt: |\n    " +
		strings.ReplaceAll(text, "\n", "\n    ") + "\n")}
	r, diags := compiler.Compile(files, compiler.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return r.Mesh
}
