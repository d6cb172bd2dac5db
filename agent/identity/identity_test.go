package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/identity"
)

// An issuer signs what it is told to.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	i.cert = template
	if i.cert, err = x509.ParseCertificate(i.issue(key.Public(), template)); err != nil {
		t.Fatal(err)
	}
	return i
}

func (i *issuer) issue(public any, template *x509.Certificate) []byte {
	i.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, public, i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	return der
}

func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.cert)
	return pool
}

func leaf(uris ...string) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(9 * time.Minute),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, text := range uris {
		u, _ := url.Parse(text)
		c.URIs = append(c.URIs, u)
	}
	return c
}

func request(t *testing.T) (*identity.Request, any) {
	t.Helper()
	r, err := identity.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil || csr.CheckSignature() != nil || len(csr.URIs)+len(csr.DNSNames)+len(csr.Subject.Names) != 0 {
		t.Fatalf("request %v, error %v", csr, err)
	}
	return r, csr.PublicKey
}

const catalog = "spiffe://example.test/ns/shop/sa/catalog"

func TestAccept(t *testing.T) {
	t.Parallel()
	good, stranger := newIssuer(t), newIssuer(t)
	r, public := request(t)
	_, other := request(t)
	want := identity.Expect{Roots: good.pool(), TrustDomain: "example.test"}
	known := want
	known.SPIFFEID = "spiffe://example.test/ns/shop/sa/order"
	old := leaf(catalog)
	old.NotAfter = time.Now().Add(-time.Second)
	serverOnly := leaf(catalog)
	serverOnly.ExtKeyUsage = serverOnly.ExtKeyUsage[1:]
	for _, c := range []struct {
		name  string
		chain [][]byte
		want  identity.Expect
		says  string // empty: taken
	}{
		{"good", [][]byte{good.issue(public, leaf(catalog))}, want, ""},
		{"none", nil, want, "a chain of 0"},
		{"long chain", make([][]byte, 9), want, "a chain of 9"},
		{"huge", [][]byte{make([]byte, 17<<10)}, want, "at most 16384"},
		{"no certificate", [][]byte{{1}}, want, "x509"},
		{"another key", [][]byte{good.issue(other, leaf(catalog))}, want, "for another key"},
		{"another issuer", [][]byte{stranger.issue(public, leaf(catalog))}, want, "unknown authority"},
		{"another trust domain", [][]byte{good.issue(public, leaf("spiffe://evil.test/ns/shop/sa/catalog"))}, want, "trust domain is example.test"},
		{"another workload", [][]byte{good.issue(public, leaf(catalog))}, known, "this workload was"},
		{"two names", [][]byte{good.issue(public, leaf(catalog, known.SPIFFEID))}, want, "2 URI names"},
		{"no name", [][]byte{good.issue(public, leaf())}, want, "0 URI names"},
		{"expired", [][]byte{good.issue(public, old)}, want, "expired"},
		{"no client", [][]byte{good.issue(public, serverOnly)}, want, "incompatible key usage"},
	} {
		_, err := r.Accept(c.chain, c.want)
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
}

func TestCredentialSurvives(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	r, public := request(t)
	stored, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := identity.DecodeRequest(stored)
	if err != nil {
		t.Fatal(err)
	}
	c, err := again.Accept([][]byte{i.issue(public, leaf(catalog))}, identity.Expect{Roots: i.pool(), TrustDomain: "example.test"})
	if err != nil {
		t.Fatal(err)
	}
	back, err := identity.Decode(c.Encode())
	if err != nil || back.SPIFFEID != catalog || string(back.Encode()) != string(c.Encode()) {
		t.Errorf("got %v, error %v", back, err)
	}
	if !r.Answered(back) || r.Answered(nil) {
		t.Error("the request does not know its certificate")
	}
	early, late := c.RenewAt(0).Sub(c.Leaf.NotBefore), c.RenewAt(1).Sub(c.Leaf.NotBefore)
	if early != 4*time.Minute || late != 6*time.Minute {
		t.Errorf("renewed after %s to %s of 10m", early, late)
	}
	for n := range c.Encode() {
		if _, err := identity.Decode(c.Encode()[:n]); err == nil && n < len(c.Encode())-2 {
			t.Fatalf("a file cut at %d is taken", n)
		}
	}
}

// TestSecretsOpenNothing: the validation context that Envoy merges with the
// signed one has roots and nothing else.
func TestSecretsOpenNothing(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	r, public := request(t)
	c, err := r.Accept([][]byte{i.issue(public, leaf(catalog))}, identity.Expect{Roots: i.pool(), TrustDomain: "example.test"})
	if err != nil {
		t.Fatal(err)
	}
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
	secrets, err := identity.Secrets(c, roots)
	if err != nil || len(secrets) != 2 {
		t.Fatalf("%d secrets, error %v", len(secrets), err)
	}
	got := &tlsv3.Secret{}
	if err := proto.Unmarshal(secrets[1].Bytes, got); err != nil {
		t.Fatal(err)
	}
	v := got.GetValidationContext()
	if got.GetName() != "ROOTCA" || string(v.GetTrustedCa().GetInlineBytes()) != string(roots) {
		t.Errorf("got %v", got)
	}
	v.TrustedCa = nil
	if proto.Size(v) != 0 {
		t.Errorf("the validation context also has %v", v)
	}
}
