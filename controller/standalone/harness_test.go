package standalone

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// deadline is for what must happen soon.
const deadline = 20 * time.Second

// shopFiles are a mesh of two services, catalog in two versions.
var shopFiles = map[string]string{
	"mesh.yaml": `apiVersion: mesh-compile.dev/v1alpha1
kind: Mesh
metadata: {name: shop}
spec: {trustDomain: shop.example, capture: none}
`,
	"workloads.yaml": `apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: order, namespace: shop}
spec:
  service: order
  ports: [{port: 8080, protocol: http}]
  endpoints: [{address: 127.0.10.14}]
  uses: [{service: catalog}]
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: catalog-v1, namespace: shop}
spec:
  service: catalog
  version: v1
  serviceAccount: catalog
  ports: [{port: 8080, protocol: http}]
  endpoints: [{address: 127.0.10.12}]
---
apiVersion: mesh-compile.dev/v1alpha1
kind: MeshWorkload
metadata: {name: catalog-v2, namespace: shop}
spec:
  service: catalog
  version: v2
  serviceAccount: catalog
  ports: [{port: 8080, protocol: http}]
  endpoints: [{dns: catalog.internal}]
`,
	"route.yaml": route(90),
}

// route sends a share of catalog's requests to v1.
func route(v1 int) string {
	return fmt.Sprintf(`apiVersion: mesh-compile.dev/v1alpha1
kind: MeshRoute
metadata: {name: catalog, namespace: shop}
spec:
  service: catalog
  rules:
  - name: canary
    to:
    - {version: v1, weight: %d}
    - {version: v2, weight: %d}
`, v1, 100-v1)
}

// site is a policy repository and a state directory.
type site struct {
	path, state string
	config      Config
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{path: filepath.Join(t.TempDir(), "policies"), state: t.TempDir()}
	for name, text := range shopFiles {
		s.write(t, name, text)
	}
	s.config = Config{
		Path: s.path, StateDir: s.state, Listen: "127.0.0.1:0", ListenStatus: "127.0.0.1:0",
		Debounce: 5 * time.Millisecond, Poll: 200 * time.Millisecond, Lookup: noDNS,
	}
	return s
}

func (s *site) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(s.path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.path, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// running is a controller that runs.
type running struct {
	*site
	addresses Addresses
	log       *logBuffer
	stop      func() error
}

func (s *site) start(t testing.TB) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{site: s, log: &logBuffer{}}
	c, ready, done := s.config, make(chan Addresses, 1), make(chan error, 1)
	c.Log = slog.New(slog.NewTextHandler(r.log, nil))
	c.Ready = func(a Addresses) { ready <- a }
	go func() { done <- Run(ctx, c) }()
	var result error
	stopped := false
	r.stop = func() error {
		cancel()
		if !stopped {
			stopped = true
			select {
			case result = <-done:
			case <-time.After(deadline):
				t.Error("the controller does not stop")
			}
		}
		return result
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.log)
		}
	})
	select {
	case r.addresses = <-ready:
	case err := <-done:
		t.Fatalf("the controller ended: %v", err)
	case <-time.After(deadline):
		t.Fatal("the controller does not begin")
	}
	return r
}

func (r *running) get(t testing.TB, path string) (int, []byte) {
	t.Helper()
	resp, err := http.Get("http://" + r.addresses.Status.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func (r *running) now(t testing.TB) Status {
	t.Helper()
	_, body := r.get(t, "/status")
	var s Status
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// await polls the status until it is as wanted.
func (r *running) await(t testing.TB, what string, ok func(Status) bool) Status {
	t.Helper()
	for end := time.Now().Add(deadline); ; {
		s := r.now(t)
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("no %s: %+v\n%s", what, s, r.log)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (r *running) awaitSequence(t testing.TB, n uint64) Status {
	t.Helper()
	return r.await(t, fmt.Sprintf("release %d", n), func(s Status) bool { return s.Live != nil && s.Live.Sequence >= n })
}

// agent is a client that verifies as agents do.
type agent struct {
	t         testing.TB
	r         *running
	id        string
	workload  string
	delivery  deliveryv1.DeliveryClient
	verifier  *sign.Verifier
	state     sign.State
	envelope  []byte
	stream    deliveryv1.Delivery_WatchClient
	tlsConfig *tls.Config
}

func (r *running) root(t testing.TB) *sign.TrustedRoot {
	t.Helper()
	envelope, err := os.ReadFile(filepath.Join(r.state, "keys", rootFile))
	if err != nil {
		t.Fatal(err)
	}
	root, err := sign.OpenRoot(envelope)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// join makes an agent of a workload, with a token of its own.
func (r *running) join(t testing.TB, workload string) *agent {
	t.Helper()
	token, id, err := CreateToken(TokenRequest{StateDir: r.state, Workload: workload})
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, workload: workload, id: id.String()}
	a.connect(r, token)
	return a
}

// connect gets a certificate for a token and connects with it. Without a token
// the certificate it has is used: the controller was started again.
func (a *agent) connect(r *running, token string) {
	a.t.Helper()
	a.r = r
	root := r.root(a.t)
	if a.verifier == nil {
		a.verifier = sign.NewVerifier(root, sign.Self{SPIFFEID: a.id, Workload: a.workload})
		pool := x509.NewCertPool()
		for _, pem := range root.Document().ServerRoots {
			pool.AppendCertsFromPEM([]byte(pem))
		}
		a.tlsConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
		a.tlsConfig.Certificates = []tls.Certificate{a.issue(token)}
	}
	a.delivery = deliveryv1.NewDeliveryClient(a.dial())
}

func (a *agent) dial() *grpc.ClientConn {
	a.t.Helper()
	conn, err := grpc.NewClient(a.r.addresses.Delivery.String(), grpc.WithTransportCredentials(credentials.NewTLS(a.tlsConfig.Clone())))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	return conn
}

func (a *agent) issue(token string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		a.t.Fatal(err)
	}
	r, err := deliveryv1.NewIdentityClient(a.dial()).Issue(a.ctx(), &deliveryv1.IssueRequest{Csr: csr, Token: token})
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: r.GetChain(), PrivateKey: key}
}

func (a *agent) ctx() context.Context {
	ctx, cancel := context.WithTimeout(a.t.Context(), deadline)
	a.t.Cleanup(cancel)
	return ctx
}

func (a *agent) watch() {
	a.t.Helper()
	stream, err := a.delivery.Watch(a.ctx(), &deliveryv1.WatchRequest{Workload: a.workload, Sequence: a.state.Sequence, Envelope: a.envelope})
	if err != nil {
		a.t.Fatal(err)
	}
	a.stream = stream
}

// next takes one update through the whole verification, blobs included.
func (a *agent) next() (*sign.Accepted, *sign.Loaded, error) {
	a.t.Helper()
	u, err := a.stream.Recv()
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := artifact.DecodeLeaf(u.GetLeaf())
	if err != nil {
		a.t.Fatal(err)
	}
	offer := sign.Offer{Release: u.GetEnvelope(), Inclusion: artifact.Inclusion{Leaf: leaf, Index: int64(u.GetIndex())}}
	for _, p := range u.GetProof() {
		offer.Inclusion.Proof = append(offer.Inclusion.Proof, artifact.Digest(p))
	}
	accepted, err := a.verifier.Verify(offer, a.state, time.Now())
	if err != nil {
		return nil, nil, err
	}
	a.state, a.envelope = accepted.State, u.GetEnvelope()
	loaded, err := accepted.Load(a.blobs(accepted))
	return accepted, loaded, err
}

// must is next of an update that has to be good.
func (a *agent) must() (*sign.Accepted, *sign.Loaded) {
	a.t.Helper()
	accepted, loaded, err := a.next()
	if err != nil {
		a.t.Fatal(err)
	}
	return accepted, loaded
}

func (a *agent) blobs(accepted *sign.Accepted) artifact.Source {
	a.t.Helper()
	have := map[artifact.Digest][]byte{}
	get := func(d artifact.Digest) ([]byte, bool) { data, ok := have[d]; return data, ok }
	for {
		need, err := accepted.Needs(get)
		if err != nil {
			a.t.Fatal(err)
		}
		if len(need) == 0 {
			return get
		}
		request := &deliveryv1.FetchRequest{}
		for _, d := range need {
			request.Digests = append(request.Digests, d[:])
		}
		stream, err := a.delivery.Fetch(a.ctx(), request)
		if err != nil {
			a.t.Fatal(err)
		}
		for _, d := range need {
			b, err := stream.Recv()
			if err != nil {
				a.t.Fatal(err)
			}
			have[d] = bytes.Clone(b.GetContent())
		}
	}
}

// endpoints returns the endpoints of a cluster, "address:port" each.
func (a *agent) endpoints(cluster string) string {
	a.t.Helper()
	stream, err := a.delivery.WatchEndpoints(a.ctx())
	if err != nil {
		a.t.Fatal(err)
	}
	if err := stream.Send(&deliveryv1.EndpointsRequest{Workload: a.workload, Clusters: []string{cluster}}); err != nil {
		a.t.Fatal(err)
	}
	u, err := stream.Recv()
	if err != nil {
		a.t.Fatal(err)
	}
	var out []string
	for _, e := range u.GetClusters()[0].GetEndpoints() {
		out = append(out, fmt.Sprintf("%s:%d", e.GetAddress(), e.GetPort()))
	}
	return strings.Join(out, " ")
}
