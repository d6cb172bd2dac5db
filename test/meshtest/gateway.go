package meshtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/check"
	"github.com/mesh-compile/mesh-compile/compiler/reach"
	"github.com/mesh-compile/mesh-compile/compiler/xds"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

// askGateway comes from outside the mesh, as the evaluator's request says.
func (m *Mesh) askGateway(ctx context.Context, want *reach.Result, r envoytest.Request) (Observation, error) {
	at, err := m.instanceOf(want.Caller.Key())
	if err != nil {
		return Observation{}, err
	}
	address, err := m.arrive(at, want, &r)
	if err != nil {
		return Observation{}, err
	}
	shown := ""
	if r.TLS != nil {
		r.TLS.VerifyConnection = func(s tls.ConnectionState) error {
			shown = s.PeerCertificates[0].Subject.CommonName
			return nil
		}
	}
	began := time.Now()
	response, err := envoytest.Send(ctx, address, r)
	out := observed(response, err, time.Since(began))
	out.Certificate = shown
	if out.Refused != "" || !isHTTP(want) {
		return out, ctx.Err()
	}
	return out, m.follow(ctx, at, want, r.Headers.Get(requestID), &out)
}

// arrive makes a request one from outside, and says at which address it knocks.
func (m *Mesh) arrive(at *instance, want *reach.Result, r *envoytest.Request) (address string, err error) {
	r.Absolute = false
	if want.Entry.Port.TLS {
		if r.Host == want.Request.To {
			r.Host = strings.TrimSuffix(r.Host, ":443")
		}
		r.TLS, err = m.clientTLS(want)
	}
	return net.JoinHostPort(at.ip, strconv.Itoa(int(want.Entry.Port.Port))), err
}

// clientTLS is a client's: it names the server, verifies nobody, and shows a
// certificate where the request has one.
func (m *Mesh) clientTLS(want *reach.Result) (*tls.Config, error) {
	out := &tls.Config{ServerName: want.Entry.SNI, InsecureSkipVerify: true} //nolint:gosec // tests look at what is shown
	if !want.Request.ClientCertificate || want.Entry.Listener == nil || want.Entry.Listener.TLS.ClientCA == nil {
		return out, nil
	}
	t := want.Entry.Listener.TLS
	name := "client"
	if len(t.SubjectAltNames) > 0 {
		name = t.SubjectAltNames[0].Value
	}
	ca, err := m.files.authority(t.ClientCA.Name)
	if err != nil {
		return nil, err
	}
	certificate, key, err := ca.issue(name, name)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	// Not Certificates, of which Go shows none where the server names other CAs.
	out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return out, err
}

// filesOf are the directories that a workload's gateways name, as an operator would
// mount them: certificates have the directory's name.
func (m *Mesh) filesOf(w *check.Workload) (map[string]xds.Files, error) {
	out := map[string]xds.Files{}
	for _, p := range w.Gateway {
		for _, l := range p.Listeners {
			if l.TLS == nil {
				continue
			}
			for _, c := range l.TLS.Certificates {
				f := out[c.Name]
				ca, err := m.files.authority(c.Name)
				if err == nil {
					f.Certificate, f.Key, err = ca.issue(c.Name, l.Hosts...)
				}
				if err != nil {
					return nil, err
				}
				out[c.Name] = f
			}
			if ref := l.TLS.ClientCA; ref != nil {
				f := out[ref.Name]
				ca, err := m.files.authority(ref.Name)
				if err != nil {
					return nil, err
				}
				f.CA = ca.roots()
				out[ref.Name] = f
			}
		}
	}
	return out, nil
}

// files are the certificates beside gateways: an authority for each directory.
type files struct {
	mu     sync.Mutex
	byName map[string]*webAuthority
}

// webAuthority issues certificates for DNS names.
type webAuthority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func (f *files) authority(name string) (*webAuthority, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.byName[name]; a != nil {
		return a, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name + " CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-lifetime), NotAfter: time.Now().Add(lifetime), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making an authority for %s: %w", name, err)
	}
	a := &webAuthority{key: key}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if f.byName == nil {
		f.byName = map[string]*webAuthority{}
	}
	f.byName[name] = a
	return a, nil
}

func (a *webAuthority) roots() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

func (a *webAuthority) issue(name string, hosts ...string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-lifetime), NotAfter: time.Now().Add(lifetime), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issuing for %s: %w", name, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), err
}
