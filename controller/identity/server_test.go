package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
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
	i := &issuer{ca: testCA(t, "shop.example"), tokens: OpenTokens(filepath.Join(t.TempDir(), "tokens.json")), log: &logBuffer{}}
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
	deliveryv1.RegisterIdentityServer(rpc, NewServer(i.ca, i.tokens.Prove, Options{
		TTL: time.Minute, Log: slog.New(slog.NewTextHandler(i.log, nil)),
	}))
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
