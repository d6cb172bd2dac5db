package serving_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/admission/serving"
)

// clientCertificate is a certificate that an API server may show, which is its own root.
func clientCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// TestClients: with roots for clients, nobody without a certificate of theirs is answered.
func TestClients(t *testing.T) {
	known, clients := clientCertificate(t)
	stranger, _ := clientCertificate(t)
	own, err := serving.NewSelf(host, time.Hour, time.Minute).Pair(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(own.Roots))
	h := serving.NewHolder(&given{pair: own}, 0)
	if err := h.Step(time.Now(), func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	server := serving.NewServer(http.NotFoundHandler(), serving.Options{Certificates: h, Clients: clients, Log: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for name, c := range map[string]struct {
		show []tls.Certificate
		want bool
	}{
		"nothing":         {nil, false},
		"a stranger's":    {[]tls.Certificate{stranger}, false},
		"an API server's": {[]tls.Certificate{known}, true},
	} {
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host, Certificates: c.show}}
		answer, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr().String())
		if err == nil {
			answer.Body.Close()
		}
		if (err == nil) != c.want {
			t.Errorf("%s: answered %t, want %t: %v", name, err == nil, c.want, err)
		}
	}
}
