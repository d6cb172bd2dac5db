package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/store"
	"github.com/mesh-compile/mesh-compile/test/kubernetes/kubetest"
)

// site is the keys, the store and the releases of a mesh.
type site struct {
	keys     string // directory
	signer   *sign.Signer
	ca       *identity.CA
	store    string // URL
	client   client.Client
	files    fstest.MapFS
	previous *compiler.Result
	sequence int64
}

func newSite(t *testing.T, c *kubetest.Cluster) *site {
	t.Helper()
	s := &site{files: fstest.MapFS{}, store: "file://" + t.TempDir()}
	s.keys, _, s.ca = meshKeys(t)
	var err error
	if s.signer, err = sign.LoadPrivateKey(s.file("release.key"), "release"); err != nil {
		t.Fatal(err)
	}
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	if s.client, err = client.New(c.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) file(name string) string { return filepath.Join(s.keys, name) }

// release compiles, stores and signs the policies, and makes the Release that says so.
func (s *site) release(t *testing.T, policies string) *artifact.Release {
	t.Helper()
	s.files["policy.yaml"] = &fstest.MapFile{Data: []byte(policies)}
	result, diags := compiler.Compile(s.files, compiler.Options{Previous: s.previous, TrustBundle: string(s.ca.RootPEM())})
	if result.Release == nil {
		t.Fatalf("no release: %v", diags)
	}
	s.previous = result
	s.sequence++
	doc, now := sign.Describe(result.Release), time.Now().Truncate(time.Second)
	doc.MeshID, doc.Sequence, doc.Trust.TrustDomain = "mesh", uint64(s.sequence), "mesh.example"
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.At(now), sign.At(now), sign.At(now.Add(time.Hour))
	envelope, err := sign.SignRelease(doc, s.signer)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := store.Open(s.store)
	if err != nil {
		t.Fatal(err)
	}
	if err := contents.Put(t.Context(), result.Release); err != nil {
		t.Fatal(err)
	}
	object := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: fmt.Sprint("deliver-", s.sequence)},
		Spec:       v1alpha1.ReleaseSpec{Sync: "mesh", Revision: "main", Content: store.Key(result.Release).String()},
	}
	if err := s.client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	object.Status.Signature = &v1alpha1.ReleaseSignature{Envelope: envelope, Sequence: s.sequence, Digest: artifact.DigestOf(envelope).String(), Expires: metav1.NewTime(now.Add(time.Hour))}
	if err := s.client.Status().Update(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	return result.Release.WithEnvelope(envelope)
}

// policies are two services; a timeout is the one of catalog's route.
func policies(timeout string) string {
	var b strings.Builder
	b.WriteString("apiVersion: mesh-compile.dev/v1alpha1\nkind: Mesh\nmetadata: {name: shop}\nspec: {trustDomain: mesh.example}\n")
	for _, name := range []string{"catalog", "order"} {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: deliver-test}
spec: {selector: {app: %[1]s}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: deliver-test}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {serviceAccountName: %[1]s, containers: [{name: app, image: app}]}
`, name)
	}
	return b.String() + `---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: catalog, namespace: deliver-test}
spec: {service: catalog, rules: [{name: all, timeout: ` + timeout + `}]}
`
}

// TestDeliver: the roles deliver and ca, with the rights that they are deployed with,
// serve an agent that a token or a certificate proves, and leave it in good order.
func TestDeliver(t *testing.T) {
	c := kubetest.Start(t)
	c.Namespace(t, "deliver-test", nil)
	s := newSite(t, c)
	ca, agents := freeAddress(t), freeAddress(t)
	runRole(t, c, "base/ca.yaml", "ca", "--root", s.file("root.dsse.json"), "--certificate", s.file("ca.crt"), "--key", s.file("ca.key"),
		"--listen", ca, "--server-name", "mesh-ca", "--serving", system+"/mesh-deliver=mesh-deliver")
	c.Apply(t, strings.Join(regexp.MustCompile(`(?s)apiVersion: v1\nkind: Service\n.*?\n---`).FindAllString(policies("1s"), -1), "\n"))
	first := s.release(t, policies("1s"))
	c.Token(t, kubetest.TokenRequest{Namespace: system, ServiceAccount: "mesh-deliver"}) // makes the account
	c.RunPod(t, kubetest.Pod{Namespace: system, Name: "mesh-deliver-0", ServiceAccount: "mesh-deliver"})
	t.Setenv("POD_NAME", "mesh-deliver-0")
	r := runRole(t, c, "base/deliver.yaml", "deliver", "--root", s.file("root.dsse.json"), "--store", s.store, "--listen", agents,
		"--ca", ca, "--ca-name", "mesh-ca", "--agent-tokens", "--stop-unready", "10ms", "--stop-leave", "10ms",
		"--ca-token-file", c.TokenFile(t, kubetest.TokenRequest{Namespace: system, ServiceAccount: "mesh-deliver", Audience: "mesh-compile-ca", Pod: "mesh-deliver-0"}))

	c.Token(t, kubetest.TokenRequest{Namespace: "deliver-test", ServiceAccount: "catalog"})
	pod := c.RunPod(t, kubetest.Pod{Namespace: "deliver-test", Name: "catalog-0", ServiceAccount: "catalog", Labels: map[string]string{"app": "catalog"}})
	ours := kubetest.TokenRequest{Namespace: "deliver-test", ServiceAccount: "catalog", Audience: "mesh-compile-deliver", Pod: "catalog-0"}
	agent, byToken := s.agent(t, agents), metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+c.Token(t, ours))
	const workload = "deliver-test/catalog"
	if _, _, err := watch(t.Context(), agent, workload); status.Code(err) != codes.Unauthenticated {
		t.Errorf("nobody: %v", err)
	}
	if _, _, err := watch(byToken, agent, "deliver-test/order"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another's workload: %v", err)
	}
	stream, u, err := watch(byToken, agent, workload)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(u.GetEnvelope(), first.Envelope()) {
		t.Error("another envelope")
	}
	awaitEndpoint(t, byToken, agent, workload, "outbound|80||catalog.deliver-test", pod.IP)
	if _, err := agent.Report(byToken, &deliveryv1.ReportRequest{Workload: workload, Instance: "catalog-0", Sequence: 1, State: deliveryv1.ReportRequest_STATE_APPLIED}); err != nil {
		t.Error(err)
	}
	s.awaitReport(t, workload)

	second := s.release(t, policies("2s"))
	if u := receive(t, stream); !bytes.Equal(u.GetEnvelope(), second.Envelope()) {
		t.Error("the second release is not what comes second")
	}
	ours.Audience = "mesh-compile-ca"
	certified := s.agent(t, agents, s.certificate(t, ca, c.Token(t, ours)))
	if _, u, err := watch(t.Context(), certified, workload); err != nil {
		t.Error(err)
	} else if !bytes.Equal(u.GetEnvelope(), second.Envelope()) {
		t.Error("by certificate: another envelope")
	}
	r.has(t, "mesh_release_sequence 2", "mesh_agents_watching 2", "mesh_endpoint_clusters ")
	if status := r.stop(); status != 0 {
		t.Errorf("it ended with status %d: %s", status, r.log.String())
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with %v", err)
	}
}

func (s *site) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.Root())
	return pool
}

func (s *site) agent(t *testing.T, address string, certificates ...tls.Certificate) deliveryv1.DeliveryClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: "mesh-deliver", RootCAs: s.pool(), Certificates: certificates,
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return deliveryv1.NewDeliveryClient(conn)
}

// watch opens a stream and returns its first update.
func watch(ctx context.Context, agent deliveryv1.DeliveryClient, workload string) (deliveryv1.Delivery_WatchClient, *deliveryv1.Update, error) {
	stream, err := agent.Watch(ctx, &deliveryv1.WatchRequest{Workload: workload, Instance: "catalog-0"})
	if err != nil {
		return nil, nil, err
	}
	u, err := stream.Recv()
	return stream, u, err
}

func receive(t *testing.T, stream deliveryv1.Delivery_WatchClient) *deliveryv1.Update {
	t.Helper()
	u, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func awaitEndpoint(t *testing.T, ctx context.Context, agent deliveryv1.DeliveryClient, workload, cluster, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, kubetest.Patience)
	defer cancel()
	stream, err := agent.WatchEndpoints(ctx)
	if err == nil {
		err = stream.Send(&deliveryv1.EndpointsRequest{Workload: workload, Clusters: []string{cluster}})
	}
	for err == nil {
		var u *deliveryv1.EndpointsUpdate
		if u, err = stream.Recv(); err == nil && len(u.GetClusters()[0].GetEndpoints()) == 1 {
			if got := u.GetClusters()[0].GetEndpoints()[0]; got.GetAddress() != address || got.GetPort() != 8080 {
				t.Errorf("endpoint %s, want %s", got, address)
			}
			return
		}
	}
	t.Fatal(err)
}

func (s *site) awaitReport(t *testing.T, workload string) {
	t.Helper()
	kubetest.Until(t, func(ctx context.Context) error {
		var list v1alpha1.FleetReportList
		if err := s.client.List(ctx, &list); err != nil {
			return err
		}
		for _, r := range list.Items {
			for _, p := range r.Proxies {
				if p.Workload == workload && p.State == "applied" && r.Replica == "mesh-deliver-0" {
					return nil
				}
			}
		}
		return fmt.Errorf("no report of %s in %d FleetReports", workload, len(list.Items))
	})
}

// certificate asks the ca role for one, as an agent does.
func (s *site) certificate(t *testing.T, address, token string) tls.Certificate {
	t.Helper()
	key, csr := newRequest(t)
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: "mesh-ca", RootCAs: s.pool(),
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := deliveryv1.NewIdentityClient(conn).Issue(t.Context(), &deliveryv1.IssueRequest{Csr: csr, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: answer.GetChain(), PrivateKey: key}
}

func newRequest(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, csr
}
