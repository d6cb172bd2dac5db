package authz

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// authority issues the certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.make(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) make(t testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) issue(t testing.TB, identity string) tls.Certificate {
	t.Helper()
	id, err := url.Parse(identity)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := a.make(t, &x509.Certificate{
		URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func pemOf(t testing.TB, c tls.Certificate) (cert, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// recorder is an ext_authz server that allows everything and keeps what Envoy
// asked, by x-probe; where there are no requests, by the caller's port.
type recorder struct {
	authv3.UnimplementedAuthorizationServer
	mu    sync.Mutex
	asked map[string]*authv3.CheckRequest
}

func (r *recorder) Check(_ context.Context, q *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	probe := fmt.Sprint(q.Attributes.Source.Address.GetSocketAddress().GetPortValue())
	if http := q.Attributes.Request.GetHttp(); http != nil {
		for _, h := range http.GetHeaderMap().GetHeaders() {
			if h.GetKey() == "x-probe" {
				probe = string(h.GetRawValue())
			}
		}
	}
	r.asked[probe] = proto.CloneOf(q)
	return &authv3.CheckResponse{}, nil
}

func runRecorder(t testing.TB) (*recorder, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, server := &recorder{asked: map[string]*authv3.CheckRequest{}}, grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, r)
	go server.Serve(l) //nolint:errcheck // ends with Stop
	t.Cleanup(server.Stop)
	return r, l.Addr().String()
}

func (r *recorder) request(t testing.TB, probe string) *authv3.CheckRequest {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.asked[probe]
	if q == nil {
		t.Fatalf("envoy did not ask about %s", probe)
	}
	return q
}

// input is the document for what Envoy asked, as the opa-envoy-plugin makes it,
// with each line of the headers.
func (r *recorder) input(t testing.TB, probe string) map[string]any {
	t.Helper()
	text, err := protojson.Marshal(r.request(t, probe))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	request, ok := out["attributes"].(map[string]any)["request"].(map[string]any)
	if http := r.request(t, probe).GetAttributes().GetRequest().GetHttp(); ok && http != nil {
		lines := map[string][]string{}
		for _, h := range http.GetHeaderMap().GetHeaders() {
			lines[h.GetKey()] = append(lines[h.GetKey()], string(h.GetRawValue()))
		}
		request["http"].(map[string]any)["headerLines"] = lines
	}
	return out
}
