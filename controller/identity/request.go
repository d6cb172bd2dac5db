package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
)

// maxRequest is several times a request for a P-256 key.
const maxRequest = 8 << 10

// requestKey returns the key of a PKCS #10 request whose signature proves that
// the sender has the private half.
func requestKey(der []byte) (*ecdsa.PublicKey, error) {
	if len(der) == 0 || len(der) > maxRequest {
		return nil, fmt.Errorf("reading the certificate request: %d bytes, want 1 to %d", len(der), maxRequest)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate request: %w", err)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("reading the certificate request: want an ECDSA P-256 key, the kind that every Envoy accepts")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("reading the certificate request: its signature is not by its key: %w", err)
	}
	return key, nil
}
