// Package files reads the certificates of gateways from a directory that an operator
// mounts beside the agent, and makes Envoy's secrets of them.
//
// In: the directory, and the names of secrets that a verified release asks for. Out:
// secrets, and what is wrong with the others. It never reads outside the directory,
// and what it reads goes to Envoy alone.
package files

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/agent/identity"
	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/agent/xds"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Names of the files of one directory, as Kubernetes has them in a secret of type
// kubernetes.io/tls.
const (
	certificateFile = "tls.crt"
	keyFile         = "tls.key"
	caFile          = "ca.crt"
)

// maxFile bounds a file: a chain has a few kilobytes.
const maxFile = 256 << 10

// Read makes a secret of the files that its name says.
func Read(dir, secret string) (xds.Resource, error) {
	name, ca, ok := verify.FileOf(secret)
	if !ok {
		return xds.Resource{}, fmt.Errorf("secret %.100q names no file", secret)
	}
	if dir == "" {
		return xds.Resource{}, fmt.Errorf("%s: no directory of certificates is configured", secret)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return xds.Resource{}, fmt.Errorf("%s: %w", secret, err)
	}
	defer root.Close()
	out := &tlsv3.Secret{Name: secret}
	if ca {
		err = readCA(root, name, out)
	} else {
		err = readCertificate(root, name, out)
	}
	if err != nil {
		return xds.Resource{}, fmt.Errorf("%s: %w", secret, err)
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(out)
	return xds.Resource{Name: secret, Version: artifact.DigestOf(data).Hex(), Bytes: data}, err
}

// read follows links within the directory, which Kubernetes makes, and none out of it.
func read(root *os.Root, name, file string) ([]byte, error) {
	f, err := root.Open(path.Join(name, file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", file, maxFile)
	}
	return data, err
}

// readCertificate takes what Envoy takes: one that it refuses would be counted
// against the release.
func readCertificate(root *os.Root, name string, out *tlsv3.Secret) error {
	chain, err := read(root, name, certificateFile)
	if err != nil {
		return err
	}
	key, err := read(root, name, keyFile)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return errors.New("certificate and key do not go together, or one is not PEM") // never the key's own words
	}
	if err := usable(pair.Leaf); err != nil {
		return err
	}
	out.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: identity.Inline(chain), PrivateKey: identity.Inline(key)}}
	return nil
}

// usable: Envoy refuses small RSA keys and curves that BoringSSL does not offer for
// servers.
func usable(leaf *x509.Certificate) error {
	switch key := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return fmt.Errorf("the RSA key has %d bits: want 2048 or more", key.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return fmt.Errorf("the ECDSA key is of curve %s: want P-256, P-384 or P-521", key.Curve.Params().Name)
		}
	default:
		return errors.New("the key is neither RSA nor ECDSA")
	}
	return nil
}

func readCA(root *os.Root, name string, out *tlsv3.Secret) error {
	data, err := read(root, name, caFile)
	if err != nil {
		return err
	}
	found := 0
	for rest := data; ; found++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("%s has something else than certificates", caFile)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("%s: %w", caFile, err)
		}
	}
	if found == 0 {
		return fmt.Errorf("%s has no certificate", caFile)
	}
	out.Type = &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: identity.Inline(data)}}
	return nil
}
