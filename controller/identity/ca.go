package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// CA issues certificates under one self-signed X.509 root.
type CA struct {
	domain spiffeid.TrustDomain
	root   *x509.Certificate
	key    *ecdsa.PrivateKey
}

// NewCA makes the root of a trust domain. It may issue leaves only, and names
// the trust domain as the one permitted URI host (RFC 5280, 4.2.1.10), so that
// a peer with the root in a larger bundle takes from it no other mesh's names.
// (Go lets a constraint's subdomains pass, which RFC 5280 does not; who may call
// is decided by the exact names that a release pins.)
// Keys are P-256 throughout: Envoy accepts no Ed25519 client certificate (envoy
// issue 25727).
func NewCA(trustDomain string, expires time.Time) (*CA, error) {
	domain, err := spiffeid.TrustDomainFromString(trustDomain)
	if err == nil && domain.Name() != trustDomain { // a whole SPIFFE ID is taken too
		err = errors.New("want its name alone, in lower case")
	}
	if err != nil {
		return nil, fmt.Errorf("making an X.509 root: trust domain %.300q: %w", trustDomain, err)
	}
	if net.ParseIP(domain.Name()) != nil { // RFC 5280: a URI constraint is a host name
		return nil, fmt.Errorf("making an X.509 root: trust domain %q is an address, want a name such as cluster.local", trustDomain)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an X.509 root: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:                serial,
		Subject:                     pkix.Name{CommonName: "mesh-compile root of " + domain.Name()},
		NotBefore:                   time.Now().Add(-maxBackdate),
		NotAfter:                    expires,
		URIs:                        []*url.URL{domain.ID().URL()}, // X.509-SVID, 3.1: a signing certificate names its domain
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		PermittedURIDomains:         []string{domain.Name()},
		PermittedDNSDomainsCritical: true, // the whole extension, despite its name
	}
	if len(template.Subject.CommonName) > 64 { // ub-common-name, RFC 5280 appendix A
		template.Subject.CommonName = "mesh-compile root"
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making an X.509 root: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making an X.509 root: %w", err)
	}
	return &CA{domain: domain, root: root, key: key}, nil
}

// newCA joins a root and its key.
func newCA(root *x509.Certificate, key *ecdsa.PrivateKey) (*CA, error) {
	if !root.IsCA || root.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("certificate %q may not sign others", root.Subject)
	}
	if !key.PublicKey.Equal(root.PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	if len(root.URIs) != 1 {
		return nil, fmt.Errorf("the certificate has %d URI names, want one: the trust domain", len(root.URIs))
	}
	id, err := spiffeid.FromURI(root.URIs[0])
	if err != nil {
		return nil, err
	}
	if id.Path() != "" {
		return nil, fmt.Errorf("the certificate is %s's, want a trust domain's", id)
	}
	return &CA{domain: id.TrustDomain(), root: root, key: key}, nil
}

// TrustDomain returns the domain that the CA issues identities of.
func (ca *CA) TrustDomain() spiffeid.TrustDomain { return ca.domain }

// Root returns the root certificate, which must not be changed.
func (ca *CA) Root() *x509.Certificate { return ca.root }

// SPIFFEID returns the identity of a service account in the CA's trust domain.
func (ca *CA) SPIFFEID(namespace, serviceAccount string) (spiffeid.ID, error) {
	return spiffeid.FromSegments(ca.domain, "ns", namespace, "sa", serviceAccount)
}

// maxBackdate is how far a clock may be behind ours.
const maxBackdate = time.Minute

// backdate is short against the lifetime, so that half of the lifetime lies
// after the moment of issue.
func backdate(ttl time.Duration) time.Duration { return min(maxBackdate, ttl/10) }

// Issue signs a workload's certificate: the public key of the request, which
// must prove that its sender has the private key, and id. Names and extensions
// of the request are ignored. The certificate does not outlive the root.
func (ca *CA) Issue(csr []byte, id spiffeid.ID, ttl time.Duration) (*x509.Certificate, error) {
	key, err := requestKey(csr)
	if err != nil {
		return nil, err
	}
	if !id.MemberOf(ca.domain) || id.Path() == "" {
		return nil, fmt.Errorf("issuing to %s: not a workload of trust domain %s", id, ca.domain)
	}
	return ca.sign(key, ttl, &x509.Certificate{
		URIs:        []*url.URL{id.URL()},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

// sign completes a leaf's template and signs it.
func (ca *CA) sign(key *ecdsa.PublicKey, ttl time.Duration, leaf *x509.Certificate) (*x509.Certificate, error) {
	now := time.Now()
	if !now.Before(ca.root.NotAfter) {
		return nil, fmt.Errorf("issuing: the X.509 root expired at %s", ca.root.NotAfter.UTC().Format(time.RFC3339))
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	leaf.SerialNumber = serial
	leaf.NotBefore, leaf.NotAfter = now.Add(-backdate(ttl)), now.Add(ttl)
	if leaf.NotAfter.After(ca.root.NotAfter) {
		leaf.NotAfter = ca.root.NotAfter
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca.root, key, ca.key)
	if err != nil {
		return nil, fmt.Errorf("issuing: %w", err)
	}
	return x509.ParseCertificate(der)
}

// newSerial returns 128 random bits, never 0 (RFC 5280, 4.1.2.2).
func newSerial() (*big.Int, error) {
	for {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
		if err != nil {
			return nil, fmt.Errorf("drawing a serial number: %w", err)
		}
		if n.Sign() > 0 {
			return n, nil
		}
	}
}
