package meshtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/mesh-compile/mesh-compile/controller/identity"
)

// lifetime of certificates: longer than any test.
const lifetime = time.Hour

// authority issues the certificates of a mesh that lives for a test.
type authority struct{ ca *identity.CA }

func newAuthority(trustDomain string) (*authority, error) {
	ca, err := identity.NewCA(trustDomain, time.Now().Add(2*lifetime))
	if err != nil {
		return nil, fmt.Errorf("making a root for %s: %w", trustDomain, err)
	}
	return &authority{ca}, nil
}

func (a *authority) roots() []byte { return a.ca.RootPEM() }

// issue returns certificate and key of an identity, PEM.
func (a *authority) issue(id string) (certificate, key []byte, err error) {
	spiffe, err := spiffeid.FromString(id)
	if err != nil {
		return nil, nil, fmt.Errorf("issuing for %s: %w", id, err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := a.ca.Issue(csr, spiffe, lifetime)
	if err != nil {
		return nil, nil, fmt.Errorf("issuing for %s: %w", id, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
