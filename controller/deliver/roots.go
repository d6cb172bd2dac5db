package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
)

// ClientRoots are what client certificates are verified against: roots that are
// always there, and those of the releases that are served.
type ClientRoots struct {
	always *x509.CertPool
	pool   atomic.Pointer[x509.CertPool]
}

// NewClientRoots returns the roots before the first release. The PEM may be empty.
func NewClientRoots(always []byte) (*ClientRoots, error) {
	r := &ClientRoots{always: x509.NewCertPool()}
	if len(always) > 0 && !r.always.AppendCertsFromPEM(always) {
		return nil, errors.New("reading X.509 roots: no certificate")
	}
	r.pool.Store(r.always)
	return r, nil
}

// Set takes the trust bundles of releases, PEM. It refuses one without a
// certificate, and then changes nothing.
func (r *ClientRoots) Set(bundles ...[]byte) error {
	pool := r.always.Clone()
	for _, b := range bundles {
		if len(b) > 0 && !pool.AppendCertsFromPEM(b) {
			return errors.New("the trust bundle of the release holds no certificate")
		}
	}
	r.pool.Store(pool)
	return nil
}

// TLS is the server's configuration. A client may come without a certificate: what
// it may do then is for the services to say.
func (r *ClientRoots) TLS(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: certificate, NextProtos: []string{"h2"},
		ClientAuth: tls.VerifyClientCertIfGiven, SessionTicketsDisabled: true,
	}
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.GetConfigForClient = nil
		c.ClientCAs = r.pool.Load()
		return c, nil
	}
	return base
}
