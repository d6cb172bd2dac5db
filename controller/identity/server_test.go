package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/peer"
)

// issuer is the service on a loopback port, and its log.
type issuer struct {
	ca     *CA
	tokens *Tokens
	addr   string
	log    *logBuffer
}

// logBuffer is written by the server and read by the test.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func serve(t *testing.T) *issuer {
	t.Helper()
	tokens := OpenTokens(filepath.Join(t.TempDir(), "tokens.json"))
	i := serveWith(t, tokens.Prove, Options{TTL: time.Minute})
	i.tokens = tokens
	return i
}

func serveWith(t *testing.T, prove Prove, opt Options) *issuer {
	t.Helper()
	i := &issuer{ca: testCA(t, "shop.example"), log: &logBuffer{}}
	opt.Log = slog.New(slog.NewTextHandler(i.log, nil))
	serving, err := NewServing(i.ca, []string{"127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		GetCertificate: serving.Get, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: i.pool(),
	})))
	deliveryv1.RegisterIdentityServer(rpc, NewServer(i.ca, prove, opt))
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(listener) }()
	t.Cleanup(func() {
		rpc.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	i.addr = listener.Addr().String()
	return i
}

func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.ca.Root())
	return pool
}

// issue asks with a key's request, a token, and the certificate of a client, if any.
func (i *issuer) issue(t *testing.T, key *ecdsa.PrivateKey, token string, client *tls.Certificate) (*x509.Certificate, error) {
	t.Helper()
	config := &tls.Config{RootCAs: i.pool(), MinVersion: tls.VersionTLS13}
	if client != nil {
		config.Certificates = []tls.Certificate{*client}
	}
	conn, err := grpc.NewClient(i.addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := deliveryv1.NewIdentityClient(conn).Issue(ctx, &deliveryv1.IssueRequest{Csr: testRequest(t, key, greedy(t)), Token: token})
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(r.GetChain()[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf, nil
}

func (i *issuer) token(t *testing.T, id spiffeid.ID) string {
	t.Helper()
	text, err := i.tokens.Create(id, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestJoinThenRenew(t *testing.T) {
	i := serve(t)
	first, token := testKey(t), i.token(t, order)
	leaf, err := i.issue(t, first, token, nil)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.URIs[0].String() != order.String() {
		t.Errorf("issued to %s, the token is %s's", leaf.URIs[0], order)
	}
	if _, err := i.issue(t, testKey(t), token, nil); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a spent token: %v", err)
	}
	second := testKey(t)
	renewed, err := i.issue(t, second, "", &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: first})
	if err != nil {
		t.Fatal(err)
	}
	if renewed.URIs[0].String() != order.String() || !second.PublicKey.Equal(renewed.PublicKey) {
		t.Errorf("renewed for %s", renewed.URIs[0])
	}
	if log := i.log.String(); strings.Contains(log, token) || !strings.Contains(log, "certificate issued") ||
		!strings.Contains(log, leaf.SerialNumber.Text(16)) {
		t.Errorf("audit log:\n%s", log)
	}
}

func TestServerRefuses(t *testing.T) {
	i := serve(t)
	if _, err := i.issue(t, testKey(t), "", nil); status.Code(err) != codes.Unauthenticated {
		t.Errorf("nobody: %v", err)
	}
	if _, err := i.issue(t, testKey(t), "mesh-join-guess", nil); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a guessed token: %v", err)
	}
	if _, err := i.issue(t, testKey(t), strings.Repeat("x", maxToken+1), nil); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a long token: %v", err)
	}
	key := testKey(t)
	stranger, err := testCA(t, "shop.example").Issue(testRequest(t, key, greedy(t)), order, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.issue(t, testKey(t), "", &tls.Certificate{Certificate: [][]byte{stranger.Raw}, PrivateKey: key}); status.Code(err) != codes.Unavailable {
		t.Errorf("a certificate of another root: %v", err) // refused at the handshake
	}
	old, err := i.ca.Issue(testRequest(t, key, greedy(t)), order, -time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.issue(t, testKey(t), "", &tls.Certificate{Certificate: [][]byte{old.Raw}, PrivateKey: key}); status.Code(err) != codes.Unavailable {
		t.Errorf("an expired certificate: %v", err)
	}
}

// Whoever proves tokens says who gets what; the server adds nothing of its own.
func TestInjectedProof(t *testing.T) {
	i := serveWith(t, func(_ context.Context, token string, _ []byte) (Grant, error) {
		switch token {
		case "workload":
			return Grant{ID: order, Audit: []slog.Attr{slog.String("pod", "order-0")}}, nil
		case "server":
			return Grant{Names: []string{"deliver.example", "10.0.0.9"}}, nil
		case "stranger":
			return Grant{ID: spiffeid.RequireFromString("spiffe://elsewhere.example/ns/shop/sa/order")}, nil
		case "refused":
			return Grant{}, fmt.Errorf("%w: it is nobody's", peer.ErrRefused)
		}
		return Grant{}, errors.New("secret detail of another server")
	}, Options{TTL: time.Minute, TokensOnly: true})
	key := testKey(t)
	leaf, err := i.issue(t, key, "workload", nil)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.URIs[0].String() != order.String() || len(leaf.DNSNames) > 0 {
		t.Errorf("issued to %v, %v", leaf.URIs, leaf.DNSNames)
	}
	served, err := i.issue(t, testKey(t), "server", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(served.URIs) > 0 || len(served.ExtKeyUsage) != 1 || served.VerifyHostname("deliver.example") != nil || served.VerifyHostname("10.0.0.9") != nil {
		t.Errorf("the serving certificate: %v, %v, %v for %v", served.URIs, served.DNSNames, served.IPAddresses, served.ExtKeyUsage)
	}
	for token, want := range map[string]codes.Code{"stranger": codes.InvalidArgument, "refused": codes.Unauthenticated, "?": codes.Unavailable} {
		if _, err := i.issue(t, testKey(t), token, nil); status.Code(err) != want || strings.Contains(err.Error(), "secret detail") {
			t.Errorf("%s: %v, want %s", token, err, want)
		}
	}
	own := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
	if _, err := i.issue(t, testKey(t), "", &own); status.Code(err) != codes.Unauthenticated {
		t.Errorf("renewed without a token: %v", err)
	}
	if log := i.log.String(); !strings.Contains(log, "pod=order-0") || !strings.Contains(log, "secret detail") {
		t.Errorf("audit log:\n%s", log)
	}
}

func TestLimitsAreByIdentity(t *testing.T) {
	l := newLimits()
	domain := spiffeid.RequireTrustDomainFromString("d")
	a, b := Grant{ID: spiffeid.RequireFromPath(domain, "/a")}, Grant{ID: spiffeid.RequireFromPath(domain, "/b"), Holder: "pod"}
	for range perIDBurst {
		if !l.allow(a) {
			t.Fatal("refused within the burst")
		}
	}
	if l.allow(a) {
		t.Error("more than the burst at once")
	}
	for range holderBurst {
		if !l.allow(b) {
			t.Fatal("one identity used up another's")
		}
	}
	if l.allow(b) {
		t.Error("more than the burst of one pod at once")
	}
	if b.Holder = "another"; !l.allow(b) {
		t.Error("one pod used up another's")
	}
	for n := range 2 * maxLimiters {
		l.byID.of(slog.IntValue(n).String())
	}
	if n := len(l.byID.known); n > maxLimiters {
		t.Errorf("%d limiters", n)
	}
}
