package authz

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/bundle"
)

// signAlgorithm is the one that is asymmetric, that a stock OPA can be
// configured for, and that gives the same bytes each time.
const signAlgorithm = "RS256"

// minRSABits is NIST SP 800-57's least for keys in use.
const minRSABits = 2048

// SignBundle returns a bundle of Bundle with the signature that a stock OPA
// verifies, made with an RSA key in PEM (PKCS #1 or #8) under the key id of
// OPA's configuration. The same bundle and key are the same bytes. It protects
// neither from an older bundle nor from another workload's: releases do.
func SignBundle(unsigned []byte, pemKey, keyID string) ([]byte, error) {
	out, err := sign(unsigned, pemKey, keyID)
	if err != nil {
		return nil, fmt.Errorf("signing the bundle: %w", err)
	}
	return out, nil
}

func sign(unsigned []byte, pemKey, keyID string) ([]byte, error) {
	if keyID == "" {
		return nil, errors.New("the key has no id")
	}
	key, err := signingKey(pemKey)
	if err != nil {
		return nil, err
	}
	b, err := bundle.NewReader(bytes.NewReader(unsigned)).WithSkipBundleVerification(true).Read()
	if err != nil {
		return nil, err
	}
	if err := b.GenerateSignature(bundle.NewSigningConfig(key, signAlgorithm, ""), keyID, false); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).DisableFormat(true).Write(b); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// signingKey returns the key as PEM that OPA cannot mistake: what does not begin
// as PEM does is a file's name to it, and the block's type decides how it is read.
func signingKey(pemKey string) (string, error) {
	block, _ := pem.Decode([]byte(pemKey))
	if block == nil {
		return "", errors.New("the key is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if rsaKey, pkcs1 := x509.ParsePKCS1PrivateKey(block.Bytes); pkcs1 == nil {
		parsed, err = rsaKey, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the key: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	switch {
	case !ok:
		return "", fmt.Errorf("the key is %T: OPA needs RSA to verify a signature that can be rebuilt", parsed)
	case key.N.BitLen() < minRSABits:
		return "", fmt.Errorf("the key has %d bits, want %d or more", key.N.BitLen(), minRSABits)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}
