package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func testCA(t testing.TB, domain string) *CA {
	t.Helper()
	ca, err := NewCA(domain, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func testKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testRequest(t testing.TB, key crypto.Signer, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

var order = spiffeid.RequireFromString("spiffe://shop.example/ns/shop/sa/order")

// greedy asks for everything that a certificate could grant.
func greedy(t *testing.T) *x509.CertificateRequest {
	t.Helper()
	isCA, err := asn1.Marshal(struct{ CA bool }{true})
	if err != nil {
		t.Fatal(err)
	}
	return &x509.CertificateRequest{
		Subject:        pkix.Name{CommonName: "payment", Organization: []string{"system:masters"}},
		DNSNames:       []string{"controller", "*.shop"},
		IPAddresses:    []net.IP{net.IPv4(127, 0, 0, 1)},
		EmailAddresses: []string{"root@shop.example"},
		URIs:           []*url.URL{{Scheme: "spiffe", Host: "shop.example", Path: "/ns/shop/sa/payment"}},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: isCA},
			{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}},
		},
	}
}

func TestIssueTakesNothingButTheKey(t *testing.T) {
	ca, key := testCA(t, "shop.example"), testKey(t)
	leaf, err := ca.Issue(testRequest(t, key, greedy(t)), order, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		t.Error("the certificate is for another key")
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != order.String() {
		t.Errorf("URI names %v, want %s alone", leaf.URIs, order)
	}
	if n := len(leaf.DNSNames) + len(leaf.IPAddresses) + len(leaf.EmailAddresses); n != 0 || leaf.IsCA || leaf.Subject.String() != "" {
		t.Errorf("DNS %v, IP %v, mail %v, CA %v, subject %q: all of them are the request's", leaf.DNSNames, leaf.IPAddresses, leaf.EmailAddresses, leaf.IsCA, leaf.Subject)
	}
	var extensions []string
	for _, e := range leaf.Extensions {
		extensions = append(extensions, e.Id.String())
	}
	// key usage, extended key usage, basic constraints, authority key id, names
	if diff := cmp.Diff([]string{"2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.35", "2.5.29.17"}, extensions); diff != "" {
		t.Errorf("extensions (-want +got):\n%s", diff)
	}
	if n := leaf.SerialNumber.BitLen(); n > 128 || n < 64 {
		t.Errorf("serial number of %d bits", n)
	}
	if now := time.Now(); !leaf.NotBefore.Before(now.Add(-30*time.Second)) || leaf.NotAfter.Sub(leaf.NotBefore) > 11*time.Minute+time.Second {
		t.Errorf("valid from %s to %s", leaf.NotBefore, leaf.NotAfter)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			t.Errorf("usage %v: %v", use, err)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	ca := testCA(t, "shop.example")
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := testRequest(t, testKey(t), &x509.CertificateRequest{})
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	for name, tc := range map[string]struct {
		csr  []byte
		id   string
		want string
	}{
		"ed25519":       {testRequest(t, edKey, &x509.CertificateRequest{}), order.String(), "want an ECDSA P-256 key"},
		"rsa":           {testRequest(t, rsaKey, &x509.CertificateRequest{}), order.String(), "want an ECDSA P-256 key"},
		"p384":          {testRequest(t, p384, &x509.CertificateRequest{}), order.String(), "want an ECDSA P-256 key"},
		"no possession": {forged, order.String(), "not by its key"},
		"empty":         {nil, order.String(), "0 bytes"},
		"huge":          {make([]byte, maxRequest+1), order.String(), "bytes, want 1 to"},
		"garbage":       {[]byte("garbage"), order.String(), "reading the certificate request"},
		"other domain":  {good, "spiffe://other.example/ns/shop/sa/order", "not a workload of trust domain"},
		"no workload":   {good, "spiffe://shop.example", "not a workload"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ca.Issue(tc.csr, spiffeid.RequireFromString(tc.id), time.Minute)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// The root itself refuses another trust domain's names, whoever used its key,
// and a certificate below one that it issued.
func TestRootIsConstrained(t *testing.T) {
	ca, key := testCA(t, "shop.example"), testKey(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	for uri, ok := range map[string]bool{
		"spiffe://shop.example/ns/shop/sa/order":       true,
		"spiffe://other.example/ns/shop/sa/order":      false,
		"spiffe://shop.example.evil.com/ns/shop/sa/or": false,
	} {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := ca.sign(&key.PublicKey, time.Minute, &x509.Certificate{URIs: []*url.URL{u}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if (err == nil) != ok {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestNewCARefuses(t *testing.T) {
	for _, domain := range []string{"", "Shop.Example", "spiffe://a/b", "10.0.0.1", "a b"} {
		if _, err := NewCA(domain, time.Now().Add(time.Hour)); err == nil {
			t.Errorf("%q was taken for a trust domain", domain)
		}
	}
}

func TestCAFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, ca *CA) (string, string) {
		cert, key := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
		if err := os.WriteFile(cert, ca.RootPEM(), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := ca.WritePrivateKey(key); err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	cert, key := write("a", testCA(t, "shop.example"))
	otherCert, _ := write("b", testCA(t, "shop.example"))
	ca, err := LoadCA(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue(testRequest(t, testKey(t), &x509.CertificateRequest{}), order, time.Minute); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := ca.WritePrivateKey(key); err == nil {
		t.Error("a key was overwritten")
	}
	if _, err := LoadCA(otherCert, key); err == nil || !strings.Contains(err.Error(), "not the certificate's") {
		t.Errorf("another root's key: %v", err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCA(cert, key); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key for everyone: %v", err)
	}
}

func TestServingHasNoIdentity(t *testing.T) {
	ca := testCA(t, "shop.example")
	s, err := NewServing(ca, []string{"controller.mesh", "127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Leaf.URIs) != 0 {
		t.Errorf("the server's certificate names %v", first.Leaf.URIs)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	for _, name := range []string{"controller.mesh", "127.0.0.1"} {
		if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("the server's certificate is a client's too")
	}
	s.renewAt = time.Now()
	if next, err := s.Get(nil); err != nil || next == first {
		t.Errorf("not renewed: %v", err)
	}
}
