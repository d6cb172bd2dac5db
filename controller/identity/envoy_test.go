package identity

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

func quoted(t *testing.T, kind string, der []byte) string {
	t.Helper()
	text, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runMTLS starts an Envoy that shows a certificate of ours and takes every
// client that its TLS library verifies under our root.
func runMTLS(t *testing.T, ca *CA) string {
	t.Helper()
	envoytest.Require(t)
	key := testKey(t)
	leaf, err := ca.Issue(testRequest(t, key, &x509.CertificateRequest{}), order, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/mtls.json")
	if err != nil {
		t.Fatal(err)
	}
	ip := envoytest.Loopback()
	port, err := envoytest.FreePort(ip)
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Run(t, envoytest.Options{Bootstrap: []byte(strings.NewReplacer(
		"LISTEN_IP", ip, `"LISTEN_PORT"`, fmt.Sprint(port),
		`"CERTIFICATE"`, quoted(t, certificateBlock, leaf.Raw), `"PRIVATE_KEY"`, quoted(t, keyBlock, private),
		`"ROOTS"`, quoted(t, certificateBlock, ca.Root().Raw),
	).Replace(string(text)))})
	return fmt.Sprintf("%s:%d", ip, port)
}

// Envoy's TLS library takes what the CA issues, and holds even a thief of the
// CA's key to its trust domain.
func TestEnvoyHoldsTheRootToItsConstraint(t *testing.T) {
	ca := testCA(t, "shop.example")
	address := runMTLS(t, ca)
	client := func(ca *CA, use x509.ExtKeyUsage, names ...string) *tls.Config {
		key := testKey(t)
		return &tls.Config{
			InsecureSkipVerify: true, // whom we talk to is not the question
			Certificates:       []tls.Certificate{{Certificate: [][]byte{certify(t, ca, key, use, names...)}, PrivateKey: key}},
		}
	}
	const clientAuth = x509.ExtKeyUsageClientAuth
	for name, tc := range map[string]struct {
		config *tls.Config
		ok     bool
	}{
		"its own workload": {client(ca, clientAuth, order.String()), true},
		"another domain":   {client(ca, clientAuth, "spiffe://other.example/ns/shop/sa/order"), false},
		"one in, one out":  {client(ca, clientAuth, order.String(), "spiffe://other.example/x"), false},
		"another root":     {client(testCA(t, "shop.example"), clientAuth, order.String()), false},
		"a server's usage": {client(ca, x509.ExtKeyUsageServerAuth, order.String()), false},
		"nobody":           {&tls.Config{InsecureSkipVerify: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := envoytest.Send(t.Context(), address, envoytest.Request{Host: "order", TLS: tc.config})
			if ok := err == nil && r.Status == 200; ok != tc.ok {
				t.Errorf("accepted: %t, want %t: status %d, error %v", ok, tc.ok, r.Status, err)
			}
		})
	}
}

// certify signs whatever it is told to.
func certify(t *testing.T, ca *CA, key *ecdsa.PrivateKey, use x509.ExtKeyUsage, names ...string) []byte {
	t.Helper()
	template := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{use}}
	for _, n := range names {
		u, err := url.Parse(n)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	leaf, err := ca.sign(&key.PublicKey, time.Hour, template)
	if err != nil {
		t.Fatal(err)
	}
	return leaf.Raw
}
