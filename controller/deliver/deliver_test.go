package deliver

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
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/identity"
)

// deadline is for what must happen soon.
const deadline = 20 * time.Second

// harness is the service on a loopback port, with a real CA.
type harness struct {
	*Server
	table *endpoints.Table
	ca    *identity.CA
	addr  string
	rpc   *grpc.Server
	shown chan []byte
}

func start(t testing.TB) *harness { return startWith(t, nil) }

// startWith changes the options first.
func startWith(t testing.TB, change func(*Options)) *harness {
	t.Helper()
	ca, err := identity.NewCA("shop.example", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	serving, err := identity.NewServing(ca, []string{"127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{table: endpoints.NewTable(), ca: ca, shown: make(chan []byte, 16)}
	opt := Options{Endpoints: h.table, Log: slog.New(slog.DiscardHandler), Shown: func(e []byte) { h.shown <- e }}
	server := ServerOptions()
	if change != nil {
		change(&opt)
		server = TokenServerOptions()
	}
	h.Server = New(opt)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = listener.Addr().String()
	h.rpc = grpc.NewServer(append(server, grpc.Creds(credentials.NewTLS(&tls.Config{
		GetCertificate: serving.Get, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: h.pool(),
	})))...)
	deliveryv1.RegisterDeliveryServer(h.rpc, h.Server)
	done := make(chan error, 1)
	go func() { done <- h.rpc.Serve(listener) }()
	t.Cleanup(func() {
		h.rpc.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harness) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(h.ca.Root())
	return pool
}

// client connects as a service account, or as nobody.
func (h *harness) client(t testing.TB, account string, ttl time.Duration) deliveryv1.DeliveryClient {
	t.Helper()
	config := &tls.Config{RootCAs: h.pool(), MinVersion: tls.VersionTLS13}
	if account != "" {
		config.Certificates = []tls.Certificate{h.certificate(t, account, ttl)}
	}
	conn, err := grpc.NewClient(h.addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return deliveryv1.NewDeliveryClient(conn)
}

func (h *harness) certificate(t testing.TB, account string, ttl time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := h.ca.Issue(csr, spiffeid.RequireFromString(id(account)), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

func id(account string) string { return "spiffe://shop.example/ns/shop/sa/" + account }

func keyOf(account, workload string) artifact.Key {
	return artifact.Key{SPIFFEID: id(account), Workload: "shop/" + workload}
}

// workload is one leaf of a test's release: its cluster, and what the cluster
// resource holds.
type workload struct{ account, name, cluster, content string }

// release builds a release with a stand-in for the signature, which this package
// does not look into.
func release(t testing.TB, sequence int, workloads ...workload) *artifact.Release {
	t.Helper()
	b := artifact.NewBuilder(nil)
	b.Share(artifact.TrustBundle, []byte("roots"))
	b.Aux(artifact.SourceMap, artifact.NewBlob([]byte("lines")))
	policy, err := artifact.AgentPolicy{Engine: artifact.EngineRBAC, Capture: artifact.CaptureNone}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads {
		list, err := artifact.NewList([]artifact.Resource{artifact.NewResource("cluster", w.cluster, []byte(w.content))})
		if err != nil {
			t.Fatal(err)
		}
		constraints, err := artifact.Constraints{Clusters: []artifact.ClusterConstraint{{Name: w.cluster, Ports: []uint32{8080}, MTLS: true}}}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b.AddLeaf(artifact.Leaf{
			SPIFFEID: id(w.account), Workload: "shop/" + w.name, Kind: artifact.Live, Sensitivity: artifact.Normal,
			Slice: b.AddSlice(list), Constraints: b.AddBlob(constraints), AgentPolicy: b.AddBlob(policy),
		})
	}
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r.WithEnvelope(fmt.Appendf(nil, "envelope %d", sequence))
}

// shop has two workloads of one identity and one of another.
func shop(t testing.TB, sequence int) *artifact.Release {
	return release(t, sequence,
		workload{"catalog", "catalog-v1", "outbound|8080||inventory.shop", fmt.Sprint("catalog-v1 ", sequence)},
		workload{"catalog", "catalog-v2", "outbound|8080||shipping.shop", "catalog-v2"},
		workload{"payment", "payment", "outbound|8080||bank.shop", "payment"},
	)
}

func (h *harness) publish(t testing.TB, r *artifact.Release) {
	t.Helper()
	if err := h.Publish(r); err != nil {
		t.Fatal(err)
	}
}

func withDeadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// updates opens a Watch.
func updates(t testing.TB, c deliveryv1.DeliveryClient, r *deliveryv1.WatchRequest) deliveryv1.Delivery_WatchClient {
	t.Helper()
	stream, err := c.Watch(withDeadline(t), r)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func next(t testing.TB, s deliveryv1.Delivery_WatchClient) *deliveryv1.Update {
	t.Helper()
	u, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// checkUpdate holds an update to the release as an agent does.
func checkUpdate(t *testing.T, u *deliveryv1.Update, r *artifact.Release, k artifact.Key) {
	t.Helper()
	if !bytes.Equal(u.GetEnvelope(), r.Envelope()) {
		t.Errorf("envelope %q, want %q", u.GetEnvelope(), r.Envelope())
	}
	leaf, err := artifact.DecodeLeaf(u.GetLeaf())
	if err != nil {
		t.Fatal(err)
	}
	in := artifact.Inclusion{Leaf: leaf, Index: int64(u.GetIndex())}
	for _, p := range u.GetProof() {
		in.Proof = append(in.Proof, artifact.Digest(p))
	}
	if leaf.Key() != k {
		t.Errorf("the leaf is %s's, want %s's", leaf.Key(), k)
	}
	if err := artifact.VerifyInclusion(r.Tree().Root(), r.Tree().Size(), in); err != nil {
		t.Error(err)
	}
}
