package standalone

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/mesh-compile/mesh-compile/controller/identity"
)

// clientTrust is the roots that client certificates are verified against: the
// issuer's own, and those of the live release, so that a workload whose
// certificate is of the root before can get one of the root in use.
type clientTrust struct {
	ca   *x509.Certificate
	pool atomic.Pointer[x509.CertPool]
}

func newClientTrust(ca *x509.Certificate) *clientTrust {
	t := &clientTrust{ca: ca}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	t.pool.Store(pool)
	return t
}

// set takes the trust bundle of a release, PEM.
func (t *clientTrust) set(bundle []byte) error {
	pool := x509.NewCertPool()
	pool.AddCert(t.ca)
	if len(bundle) > 0 && !pool.AppendCertsFromPEM(bundle) {
		return errors.New("the trust bundle of the release holds no certificate")
	}
	t.pool.Store(pool)
	return nil
}

// config is the server's TLS. A client without a certificate may only ask for
// its first one; the services see to that.
func (t *clientTrust) config(serving *identity.Serving) *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: serving.Get, NextProtos: []string{"h2"},
		ClientAuth: tls.VerifyClientCertIfGiven, SessionTicketsDisabled: true,
	}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.GetConfigForClient = nil
		c.ClientCAs = t.pool.Load()
		return c, nil
	}
	return base
}

// holds reports whether a PEM bundle has a certificate.
func holds(bundle string, want *x509.Certificate) bool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(bundle)) {
		return false
	}
	_, err := want.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// checkTrust refuses a mesh whose proxies would not accept the certificates that
// are issued here.
func (c *controller) checkTrust(trustDomain, bundle string) error {
	if want := c.keys.root.Document().TrustDomain; trustDomain != want {
		return &refusal{message: fmt.Sprintf("the Mesh document says trust domain %q, the keys in %s are for %q: change one of them (trustDomain, or new keys by keygen --trust-domain)",
			trustDomain, c.cfg.KeysDir, want)}
	}
	if bundle != "" && !holds(bundle, c.keys.ca.Root()) {
		return &refusal{message: fmt.Sprintf("trustBundle of the Mesh document does not hold %s, the root of the certificates issued here: proxies would refuse each other; add it",
			filepath.Join(c.cfg.KeysDir, caFile))}
	}
	return nil
}
