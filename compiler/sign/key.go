package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// An Alg is a signature algorithm. It is part of the trusted key, never of a
// message.
type Alg string

// The algorithms.
const (
	Ed25519   Alg = "ed25519"
	ECDSAP256 Alg = "ecdsa-p256-sha256" // for key stores that have no Ed25519
)

// A Key is a public key as root documents list it.
type Key struct {
	KeyID     string `json:"keyId"` // hexadecimal SHA-256 of PublicKey
	Alg       Alg    `json:"alg"`
	PublicKey []byte `json:"publicKey"` // PKIX DER, base64
	Owner     string `json:"owner,omitempty"`
}

// NewKey returns the entry for a public key.
func NewKey(public crypto.PublicKey, owner string) (Key, error) {
	alg, err := algOf(public)
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("encoding public key: %w", err)
	}
	return Key{KeyID: keyID(der), Alg: alg, PublicKey: der, Owner: owner}, nil
}

func keyID(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func algOf(public crypto.PublicKey) (Alg, error) {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return Ed25519, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return ECDSAP256, nil
		}
	}
	return "", fmt.Errorf("%T: want an Ed25519 or ECDSA P-256 key", public)
}

// parse returns the public key of an entry. One key has one encoding and one
// identifier, so that it cannot count twice.
func (k Key) parse() (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(k.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("key %.80q: %w", k.KeyID, err)
	}
	canonical, err := NewKey(public, k.Owner)
	if err != nil {
		return nil, fmt.Errorf("key %.80q: %w", k.KeyID, err)
	}
	switch {
	case !bytes.Equal(canonical.PublicKey, k.PublicKey):
		return nil, fmt.Errorf("key %.80q: not in its canonical encoding", k.KeyID)
	case canonical.KeyID != k.KeyID:
		return nil, fmt.Errorf("key %.80q: its identifier is %s", k.KeyID, canonical.KeyID)
	case canonical.Alg != k.Alg:
		return nil, fmt.Errorf("key %.80q: algorithm %.40q, the key is for %s", k.KeyID, k.Alg, canonical.Alg)
	}
	return public, nil
}

// verify checks a signature with the algorithm of the trusted key.
func verify(public crypto.PublicKey, message, signature []byte) bool {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, message, signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(k, sum[:], signature)
	}
	return false
}

// A Signer signs documents with one private key.
type Signer struct {
	key     Key
	private crypto.Signer
}

// NewSigner returns a signer for a private key, which may live in a key store.
func NewSigner(private crypto.Signer, owner string) (*Signer, error) {
	key, err := NewKey(private.Public(), owner)
	if err != nil {
		return nil, err
	}
	return &Signer{key: key, private: private}, nil
}

// Key returns the public half for a root document.
func (s *Signer) Key() Key { return s.key }

// sign makes the same signature for the same message: Ed25519 always does, and
// ECDSA without a source of randomness follows RFC 6979.
func (s *Signer) sign(message []byte) ([]byte, error) {
	if s.key.Alg == Ed25519 {
		return s.private.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	if _, local := s.private.(*ecdsa.PrivateKey); local {
		return s.private.Sign(nil, sum[:], crypto.SHA256)
	}
	return s.private.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// GenerateKey makes a new private key from the system's randomness.
func GenerateKey(alg Alg, owner string) (*Signer, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case Ed25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case ECDSAP256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return nil, fmt.Errorf("generating a key: unknown algorithm %.40q", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	return NewSigner(private, owner)
}

const pemType = "PRIVATE KEY" // PKCS #8

// WritePrivateKey writes the private key as PKCS #8 PEM to a new file that
// its owner alone may read.
func (s *Signer) WritePrivateKey(name string) error {
	der, err := x509.MarshalPKCS8PrivateKey(s.private)
	if err != nil {
		return fmt.Errorf("encoding private key: %w", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing private key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: pemType, Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing private key: %w", err)
	}
	return nil
}

// maxKeyBytes is far above any key of ours.
const maxKeyBytes = 16 << 10

// LoadPrivateKey reads what [Signer.WritePrivateKey] writes. A key that
// everyone may read is refused; one that the group may read is not, because
// that is how Kubernetes mounts a Secret for a user that is not root.
func LoadPrivateKey(name, owner string) (*Signer, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("reading private key %s: mode %#o lets everyone have it: chmod 600", name, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyBytes))
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	s, err := parsePrivateKey(data, owner)
	if err != nil {
		return nil, fmt.Errorf("reading private key %s: %w", name, err)
	}
	return s, nil
}

func parsePrivateKey(data []byte, owner string) (*Signer, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("want one PEM block %q (PKCS #8)", pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T cannot sign", parsed)
	}
	return NewSigner(private, owner)
}
