package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"
)

// Serving is the certificate that the controller itself shows. Its key lives in
// this process alone, and it is made anew before it expires.
type Serving struct {
	ca    *CA
	names []string
	ttl   time.Duration

	mu      sync.Mutex
	current *tls.Certificate
	renewAt time.Time
}

// NewServing returns the certificate of a server with these DNS names and
// addresses. It has no SPIFFE ID, so that no proxy takes it for a workload.
func NewServing(ca *CA, names []string, ttl time.Duration) (*Serving, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("making the server's certificate: no name or address")
	}
	s := &Serving{ca: ca, names: names, ttl: ttl}
	_, err := s.Get(nil)
	return s, err
}

// Get returns the certificate; it is a tls.Config's GetCertificate.
func (s *Serving) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && time.Now().Before(s.renewAt) {
		return s.current, nil
	}
	c, err := s.make()
	if err != nil {
		return nil, fmt.Errorf("making the server's certificate: %w", err)
	}
	s.current, s.renewAt = c, time.Now().Add(s.ttl/2)
	return c, nil
}

// TLS returns the configuration of a server that asks clients for no certificate.
func (s *Serving) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: s.Get, NextProtos: []string{"h2"}, SessionTicketsDisabled: true}
}

func (s *Serving) make() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := s.ca.sign(&key.PublicKey, s.ttl, servingTemplate(s.names))
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// IssueServing signs the certificate of a server of the control plane: the public
// key of the request, and names, which are not the request's.
func (ca *CA) IssueServing(csr []byte, names []string, ttl time.Duration) (*x509.Certificate, error) {
	key, err := requestKey(csr)
	if err != nil {
		return nil, err
	}
	return ca.sign(key, ttl, servingTemplate(names))
}

func servingTemplate(names []string) *x509.Certificate {
	c := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	return c
}
