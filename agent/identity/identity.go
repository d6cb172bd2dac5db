// Package identity gets and keeps the workload's certificate, and makes the
// secrets that Envoy asks for.
//
// In go a join token for the first certificate, and whoever issues; out comes
// a credential whose key never left this process and its 0700 directory. It is
// stored, so that a restarted agent serves secrets without a controller.
//
// The package trusts an issued certificate only if it holds our key and its
// chain leads to the roots of the signed release, or of the root document
// before the first release. What the certificate says is who the workload is.
package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// A Credential is a key and the certificate for it. It is immutable.
type Credential struct {
	SPIFFEID string
	Leaf     *x509.Certificate
	TLS      tls.Certificate
	chain    []byte // PEM
	key      []byte // PEM
}

// Limits of what an issuer may send.
const (
	maxChain       = 8
	maxCertificate = 16 << 10
)

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// A Request is a new key that waits for its certificate.
type Request struct {
	key *ecdsa.PrivateKey
	CSR []byte // PKCS #10, DER
}

// NewRequest makes a P-256 key: Envoy takes no Ed25519 client certificate
// (envoy issue 25727). The request names nobody; who we are is for the issuer
// to say.
func NewRequest() (*Request, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return requestFor(key)
}

func requestFor(key *ecdsa.PrivateKey) (*Request, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return &Request{key: key, CSR: csr}, nil
}

// Encode returns the request's key as a file. It must be durable before the
// request is sent: an issuer that spent a one-time token on this key gives its
// certificate again for this key alone.
func (r *Request) Encode() ([]byte, error) { return encodeKey(r.key) }

// DecodeRequest reads what Encode writes.
func DecodeRequest(data []byte) (*Request, error) {
	key, _, err := decodeKey(data)
	if err != nil {
		return nil, fmt.Errorf("reading the stored certificate request: %w", err)
	}
	return requestFor(key)
}

// Answered reports whether c is the certificate for this request.
func (r *Request) Answered(c *Credential) bool {
	return c != nil && r.key.PublicKey.Equal(c.Leaf.PublicKey)
}

// Expect is what a certificate must say to be taken.
type Expect struct {
	Roots       *x509.CertPool
	TrustDomain string
	SPIFFEID    string // empty before the first certificate
	Now         time.Time
}

// Accept checks the issued chain, leaf first, and joins it with the key.
func (r *Request) Accept(chain [][]byte, want Expect) (*Credential, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, fmt.Errorf("taking a certificate: a chain of %d, want 1 to %d", len(chain), maxChain)
	}
	for _, der := range chain {
		if len(der) > maxCertificate {
			return nil, fmt.Errorf("taking a certificate: %d bytes, at most %d are read", len(der), maxCertificate)
		}
	}
	c, err := newCredential(chain, r.key)
	if err != nil {
		return nil, fmt.Errorf("taking a certificate: %w", err)
	}
	if err := c.check(want); err != nil {
		return nil, fmt.Errorf("taking a certificate: %w", err)
	}
	return c, nil
}

func newCredential(chain [][]byte, key *ecdsa.PrivateKey) (*Credential, error) {
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, err
	}
	id, err := spiffeID(leaf)
	if err != nil {
		return nil, err
	}
	private, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	c := &Credential{
		SPIFFEID: id, Leaf: leaf, key: private,
		TLS: tls.Certificate{Certificate: chain, PrivateKey: crypto.Signer(key), Leaf: leaf},
	}
	for _, der := range chain {
		c.chain = append(c.chain, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})...)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	return c, nil
}

// spiffeID returns the one name that a workload's certificate has (SPIFFE
// X.509-SVID, section 2).
func spiffeID(leaf *x509.Certificate) (string, error) {
	if len(leaf.URIs) != 1 || leaf.URIs[0].Scheme != "spiffe" {
		return "", fmt.Errorf("the certificate has %d URI names, want one SPIFFE ID", len(leaf.URIs))
	}
	return leaf.URIs[0].String(), nil
}

func (c *Credential) check(want Expect) error {
	intermediates := x509.NewCertPool()
	for _, der := range c.TLS.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(cert)
		}
	}
	_, err := c.Leaf.Verify(x509.VerifyOptions{
		Roots: want.Roots, Intermediates: intermediates, CurrentTime: want.Now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	switch {
	case err != nil:
		return err
	case c.Leaf.URIs[0].Host != want.TrustDomain:
		return fmt.Errorf("the certificate is for %s, the trust domain is %s", c.SPIFFEID, want.TrustDomain)
	case want.SPIFFEID != "" && c.SPIFFEID != want.SPIFFEID:
		return fmt.Errorf("the certificate is for %s, this workload was %s", c.SPIFFEID, want.SPIFFEID)
	}
	return nil
}

// Encode returns the credential as a file.
func (c *Credential) Encode() []byte { return append(bytes.Clone(c.key), c.chain...) }

// Decode reads what Encode writes. Whether it still is to be trusted is not
// looked at: Envoy's peers do that.
func Decode(data []byte) (*Credential, error) {
	key, rest, err := decodeKey(data)
	if err != nil {
		return nil, fmt.Errorf("reading the stored certificate: %w", err)
	}
	var chain [][]byte
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		chain = append(chain, block.Bytes)
	}
	if len(chain) == 0 {
		return nil, errors.New("reading the stored certificate: no certificate")
	}
	return newCredential(chain, key)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

func decodeKey(data []byte) (key *ecdsa.PrivateKey, rest []byte, err error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != keyBlock {
		return nil, nil, errors.New("no private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("a key of type %T", parsed)
	}
	return key, rest, nil
}

// RenewAt returns when to renew: half way, give or take a tenth. jitter is from
// 0 to 1.
func (c *Credential) RenewAt(jitter float64) time.Time {
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return c.Leaf.NotBefore.Add(time.Duration((0.4 + 0.2*jitter) * float64(life)))
}

// ServerConfig is how the agent knows the controller, and shows who it is. The
// controller's name is verified: workloads have certificates of the same roots,
// but none with a DNS name or an address.
func ServerConfig(name string, roots *x509.CertPool, credential func() *Credential) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: name, RootCAs: roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c := credential(); c != nil {
				return &c.TLS, nil
			}
			return &tls.Certificate{}, nil // before the first one
		},
	}
}

// Pool reads PEM certificates.
func Pool(data []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, errors.New("reading X.509 roots: no certificate")
	}
	return pool, nil
}
