package serving

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/identity"
)

// Self makes roots and certificates in memory. They are renewed half way: the root
// with a key of its own, so that no key outlives it.
type Self struct {
	name             string
	rootTTL, leafTTL time.Duration

	ca      *identity.CA
	serving *identity.Serving
	renewAt time.Time
}

// NewSelf makes certificates of a DNS name.
func NewSelf(name string, rootTTL, leafTTL time.Duration) *Self {
	return &Self{name: name, rootTTL: rootTTL, leafTTL: leafTTL}
}

// Pair implements Source.
func (s *Self) Pair(now time.Time) (Pair, error) {
	if s.ca == nil || !now.Before(s.renewAt) {
		ca, err := identity.NewCA(s.name, now.Add(s.rootTTL))
		if err != nil {
			return Pair{}, err
		}
		serving, err := identity.NewServing(ca, []string{s.name}, s.leafTTL)
		if err != nil {
			return Pair{}, err
		}
		s.ca, s.serving, s.renewAt = ca, serving, now.Add(s.rootTTL/2)
	}
	serving := s.serving
	renew := func() (*tls.Certificate, error) { return serving.Get(nil) }
	c, err := renew()
	return Pair{c, string(s.ca.RootPEM()), renew}, err
}

// Directory is a certificate that somebody else renews, such as cert-manager: the
// files tls.crt, tls.key and ca.crt of a mounted Secret.
type Directory struct{ dir, name string }

// NewDirectory reads the certificate of a DNS name.
func NewDirectory(dir, name string) *Directory { return &Directory{dir, name} }

// Pair implements Source. Files that do not fit each other are an error: they may be
// in the middle of a change, and are read again.
func (d *Directory) Pair(now time.Time) (Pair, error) {
	c, err := tls.LoadX509KeyPair(filepath.Join(d.dir, "tls.crt"), filepath.Join(d.dir, "tls.key"))
	if err != nil {
		return Pair{}, fmt.Errorf("reading the certificate of %s: %w", d.name, err)
	}
	text, err := os.ReadFile(filepath.Join(d.dir, "ca.crt"))
	if err != nil {
		return Pair{}, fmt.Errorf("reading the roots of %s: %w", d.name, err)
	}
	roots, err := certificates(string(text))
	if err != nil {
		return Pair{}, fmt.Errorf("reading the roots of %s: %w", d.name, err)
	}
	if err := d.verify(&c, roots, now); err != nil {
		return Pair{}, fmt.Errorf("%s does not show to clients that it is %s: %w", filepath.Join(d.dir, "tls.crt"), d.name, err)
	}
	return Pair{Certificate: &c, Roots: roots}, nil
}

// verify does what the API server will do.
func (d *Directory) verify(c *tls.Certificate, roots string, now time.Time) error {
	if c.Leaf == nil {
		return errors.New("no certificate")
	}
	o := x509.VerifyOptions{DNSName: d.name, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	o.Roots.AppendCertsFromPEM([]byte(roots))
	for _, der := range c.Certificate[1:] {
		if between, err := x509.ParseCertificate(der); err == nil {
			o.Intermediates.AddCert(between)
		}
	}
	_, err := c.Leaf.Verify(o)
	return err
}

// certificates returns the certificates of a PEM text, one spelling of each bundle.
func certificates(text string) (string, error) {
	var out strings.Builder
	rest := []byte(text)
	for len(rest) > 0 {
		var block []byte
		if block, rest = nextCertificate(rest); block == nil {
			break
		}
		out.Write(block)
	}
	if out.Len() == 0 {
		return "", errors.New("there is no certificate in PEM")
	}
	return out.String(), nil
}
