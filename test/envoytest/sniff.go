package envoytest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"time"
)

// sniffing lets an Echo speak TLS to whoever begins with it, with a certificate of
// its own name.
type sniffing struct {
	net.Listener
	config *tls.Config
}

func (l sniffing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &sniffed{Conn: c, config: l.config}, nil
}

// sniffed decides at the first byte; servers read before they write.
type sniffed struct {
	net.Conn
	config *tls.Config
	inner  net.Conn
}

func (c *sniffed) Read(b []byte) (int, error) {
	if c.inner == nil {
		first := make([]byte, 1)
		if _, err := io.ReadFull(c.Conn, first); err != nil {
			return 0, err
		}
		c.inner = &prefixed{Conn: c.Conn, rest: io.MultiReader(bytes.NewReader(first), c.Conn)}
		if first[0] == 0x16 { // a TLS handshake record
			c.inner = tls.Server(c.inner, c.config)
		}
	}
	return c.inner.Read(b)
}

func (c *sniffed) Write(b []byte) (int, error) {
	if c.inner == nil {
		return c.Conn.Write(b)
	}
	return c.inner.Write(b)
}

type prefixed struct {
	net.Conn
	rest io.Reader
}

func (c *prefixed) Read(b []byte) (int, error) { return c.rest.Read(b) }

func selfSigned(name string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
