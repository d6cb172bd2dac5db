package kubernetes

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

const systemName = "mesh-system"

// systemNamespace makes the control plane's namespace for all tests of the package.
func systemNamespace(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	ns := &corev1.Namespace{}
	ns.Name = systemName
	if err := c.Client.Create(t.Context(), ns); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
}

// issuer is the Identity service as the ca role has it.
type issuer struct {
	ca   *identity.CA
	addr string

	mu  sync.Mutex
	log bytes.Buffer
}

func (i *issuer) Write(p []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log.Write(p)
}

func (i *issuer) audit() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log.String()
}

func newIssuer(t *testing.T, c *kubetest.Cluster) *issuer {
	t.Helper()
	ca, err := identity.NewCA(trustDomain, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReviewer(kubetest.Load(t, c.AsDeployed(t, "base/ca.yaml", systemName, "mesh-ca")), AudienceCA, trustDomain)
	if err != nil {
		t.Fatal(err)
	}
	serving, err := identity.NewServing(ca, []string{"127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{ca: ca, addr: l.Addr().String()}
	rpc := grpc.NewServer(append(identity.ServerOptions(), grpc.Creds(credentials.NewTLS(serving.TLS())))...)
	deliveryv1.RegisterIdentityServer(rpc, identity.NewServer(ca, r.Prover(map[string][]string{systemName + "/mesh-deliver": {"mesh-deliver.mesh-system.svc"}}),
		identity.Options{TTL: time.Hour, TokensOnly: true, Log: slog.New(slog.NewTextHandler(i, nil))}))
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(l) }()
	t.Cleanup(func() {
		rpc.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return i
}

// issue asks for a certificate with a request that names somebody else.
func (i *issuer) issue(ctx context.Context, token string) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"admin.mesh-system.svc"}}, key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(i.ca.Root())
	conn, err := grpc.NewClient(i.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := deliveryv1.NewIdentityClient(conn).Issue(ctx, &deliveryv1.IssueRequest{Csr: csr, Token: token})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(answer.GetChain()[0])
}

// tokenOf runs a pod of an account and returns its token for the ca role.
func tokenOf(t *testing.T, c *kubetest.Cluster, namespace, account, pod string) string {
	t.Helper()
	c.Token(t, kubetest.TokenRequest{Namespace: namespace, ServiceAccount: account}) // makes the account
	c.RunPod(t, kubetest.Pod{Namespace: namespace, Name: pod, ServiceAccount: account})
	return c.Token(t, kubetest.TokenRequest{Namespace: namespace, ServiceAccount: account, Audience: AudienceCA, Pod: pod})
}

func TestIssue(t *testing.T) {
	t.Parallel()
	c := kubetest.Start(t)
	systemNamespace(t, c)
	c.Namespace(t, "issue", nil)
	i := newIssuer(t, c)
	token := tokenOf(t, c, "issue", "order", "order-0")
	leaf, err := i.issue(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://shop.example/ns/issue/sa/order" || len(leaf.DNSNames) > 0 {
		t.Errorf("issued to %v, %v", leaf.URIs, leaf.DNSNames)
	}
	if log := i.audit(); strings.Contains(log, token) || !strings.Contains(log, "pod=order-0") || !strings.Contains(log, "serviceAccount=issue/order") ||
		!strings.Contains(log, leaf.SerialNumber.Text(16)) {
		t.Errorf("audit log:\n%s", log)
	}

	served, err := i.issue(t.Context(), tokenOf(t, c, systemName, "mesh-deliver", "deliver-0"))
	if err != nil {
		t.Fatal(err)
	}
	if len(served.URIs) > 0 || !slices.Equal(served.DNSNames, []string{"mesh-deliver.mesh-system.svc"}) ||
		!slices.Equal(served.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("the serving certificate is of %v, %v for %v", served.URIs, served.DNSNames, served.ExtKeyUsage)
	}

	for name, bad := range map[string]string{"a guess": "guess", "none": "", "another audience": c.Token(t, kubetest.TokenRequest{
		Namespace: "issue", ServiceAccount: "order", Audience: AudienceDeliver, Pod: "order-0",
	})} {
		if leaf, err := i.issue(t.Context(), bad); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v, %v", name, leaf, err)
		}
	}
	// A pod that is gone gets nothing more, by its token or by what it got before.
	if err := c.DeletePod(t.Context(), "issue", "order-0"); err != nil {
		t.Fatal(err)
	}
	kubetest.Until(t, func(ctx context.Context) error {
		if leaf, err := i.issue(ctx, token); status.Code(err) != codes.Unauthenticated {
			return fmt.Errorf("the pod is gone: %v, %v", leaf, err)
		}
		return nil
	})
}

// One pod in a loop is stopped, and another of the same identity is not.
func TestLimitByPod(t *testing.T) {
	t.Parallel()
	c := kubetest.Start(t)
	systemNamespace(t, c)
	c.Namespace(t, "loop", nil)
	i := newIssuer(t, c)
	one, two := tokenOf(t, c, "loop", "order", "order-0"), tokenOf(t, c, "loop", "order", "order-1")
	n := 0
	for ; n < 100; n++ {
		if _, err := i.issue(t.Context(), one); status.Code(err) == codes.ResourceExhausted {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n < 2 || n == 100 {
		t.Errorf("stopped after %d certificates", n)
	}
	if _, err := i.issue(t.Context(), two); err != nil {
		t.Errorf("the other pod: %v", err)
	}
}
