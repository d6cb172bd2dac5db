package agent_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// edge is a gateway's listener with a chain for each of two hosts, whose certificates
// are files.
func (s slice) edge(t *testing.T) *listenerv3.Listener {
	var chains []*listenerv3.FilterChain
	for _, name := range []string{"shop", "other"} {
		source := ads()
		source.InitialFetchTimeout = durationpb.New(time.Second)
		chains = append(chains, &listenerv3.FilterChain{
			Name: name, FilterChainMatch: &listenerv3.FilterChainMatch{ServerNames: []string{name + ".example"}},
			Filters: []*listenerv3.Filter{hcm(t, &hcmv3.HttpConnectionManager{
				StatPrefix: name, HttpFilters: []*hcmv3.HttpFilter{router(t)},
				RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "outbound", ConfigSource: ads()}},
			})},
			TransportSocket: tlsSocket(t, &tlsv3.DownstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
				TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "certificate/" + name, SdsConfig: source}},
			}}),
		})
	}
	out := listener("edge", s.gateway, chains[0])
	out.FilterChains = chains
	out.ListenerFilters = []*listenerv3.ListenerFilter{{Name: "tls", ConfigType: &listenerv3.ListenerFilter_TypedConfig{
		TypedConfig: packed(t, &tlsinspectorv3.TlsInspector{})}}}
	out.TrafficDirection = corev3.TrafficDirection_INBOUND
	return out
}

// TestGatewayCertificates: certificates are files that come, change and break while
// the proxy runs; a chain without one refuses, and the other serves.
func TestGatewayCertificates(t *testing.T) {
	t.Parallel()
	p := newProxy(t, newController(t))
	p.config.CertificatesDir = t.TempDir()
	p.slice.gateway = p.port()
	p.certificate("shop", "first")
	p.controller.publish(1, p.slice)
	p.run()
	p.live(1)
	p.shows("shop", "first")
	if s := p.status(); len(s.Files) != 1 || !strings.Contains(s.Files[0], "certificate/other") {
		t.Errorf("the status says %q, want the certificate that is missing", s.Files)
	}
	if name, err := p.handshake("other"); err == nil {
		t.Errorf("a chain without a certificate shows %q", name)
	}

	p.certificate("other", "came")
	p.shows("other", "came")
	p.certificate("shop", "second")
	p.shows("shop", "second")

	if err := os.WriteFile(filepath.Join(p.config.CertificatesDir, "shop", "tls.key"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.until(func() error {
		if s := p.status(); len(s.Files) != 1 || !strings.Contains(s.Files[0], "do not go together") {
			return fmt.Errorf("the status says %q, want the key that is broken", s.Files)
		}
		return nil
	})
	p.shows("shop", "second")
}

// shows waits until a host's certificate has a name.
func (p *proxy) shows(host, want string) {
	p.t.Helper()
	p.until(func() error {
		if got, err := p.handshake(host); err != nil || got != want {
			return fmt.Errorf("%s.example shows %q (%w), want %q", host, got, errors.Join(err), want)
		}
		return nil
	})
}

func (p *proxy) handshake(host string) (commonName string, err error) {
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 2 * time.Second}, Config: &tls.Config{ServerName: host + ".example", InsecureSkipVerify: true}} //nolint:gosec // the name is looked at
	conn, err := dialer.DialContext(p.t.Context(), "tcp", net.JoinHostPort(p.ip, strconv.Itoa(int(p.slice.gateway))))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// certificate writes the files of a host.
func (p *proxy) certificate(dir, name string) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		p.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	at := filepath.Join(p.config.CertificatesDir, dir)
	if err := errors.Join(os.MkdirAll(at, 0o700),
		os.WriteFile(filepath.Join(at, "tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(filepath.Join(at, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	); err != nil {
		p.t.Fatal(err)
	}
}
