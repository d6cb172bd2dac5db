package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY" // PKCS #8
	maxFile          = 16 << 10
)

// RootPEM returns the root certificate, one PEM block.
func (ca *CA) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: ca.root.Raw})
}

// WritePrivateKey writes the root's key as PKCS #8 PEM to a new file that its
// owner alone may read.
func (ca *CA) WritePrivateKey(name string) error {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return fmt.Errorf("encoding the X.509 root's key: %w", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing the X.509 root's key: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: keyBlock, Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the X.509 root's key: %w", err)
	}
	return nil
}

// LoadCA reads a root certificate and its key. A key that everyone may read is
// refused; one that the group may read is not, because Kubernetes mounts a
// Secret so for a user that is not root.
func LoadCA(certificate, key string) (*CA, error) {
	rootDER, err := readBlock(certificate, certificateBlock, 0)
	if err != nil {
		return nil, fmt.Errorf("reading the X.509 root: %w", err)
	}
	root, err := x509.ParseCertificate(rootDER)
	if err != nil {
		return nil, fmt.Errorf("reading the X.509 root %s: %w", certificate, err)
	}
	keyDER, err := readBlock(key, keyBlock, 0o007)
	if err != nil {
		return nil, fmt.Errorf("reading the X.509 root's key: %w", err)
	}
	private, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return nil, fmt.Errorf("reading the X.509 root's key %s: %w", key, err)
	}
	signer, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading the X.509 root's key %s: %T, want ECDSA", key, private)
	}
	ca, err := newCA(root, signer)
	if err != nil {
		return nil, fmt.Errorf("reading the X.509 root %s: %w", certificate, err)
	}
	return ca, nil
}

// readBlock reads a file that is one PEM block, and whose mode has none of the
// forbidden bits.
func readBlock(name, kind string, forbidden os.FileMode) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return nil, fmt.Errorf("%s: mode %#o lets everyone have it: chmod 600", name, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != kind || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s: want one PEM block %q", name, kind)
	}
	return block.Bytes, nil
}
