package agent_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
)

const (
	trustDomain = "example.test"
	workload    = "shop/catalog"
	spiffeID    = "spiffe://" + trustDomain + "/ns/shop/sa/catalog"
	joinToken   = "join"
)

// A controller is the agent's other side: it signs, issues and delivers, and
// misbehaves where a test tells it to.
type controller struct {
	deliveryv1.UnimplementedDeliveryServer
	deliveryv1.UnimplementedIdentityServer
	t        *testing.T
	keys     *sign.Keys
	root     *sign.TrustedRoot
	ca       *x509.Certificate
	caKey    *ecdsa.PrivateKey
	ip       string
	address  string
	listener net.Listener
	server   *grpc.Server
	life     time.Duration // of issued certificates

	mu        sync.Mutex
	tokens    map[string]string // SPIFFE IDs
	update    *deliveryv1.Update
	blobs     map[artifact.Digest][]byte
	endpoints []*deliveryv1.ClusterEndpoints
	reports   []*deliveryv1.ReportRequest
	subjects  []string // asked for by WatchEndpoints
	corrupt   func(artifact.Digest, []byte) []byte
	unknown   bool // the workload is in no release
	tokenOnly bool // no certificate proves who is there
	elsewhere bool // another server issues certificates
	watched   int  // calls of Watch
	busy      int  // calls of Fetch that are turned away
	away      int  // calls that were answered so
	issued    int
	changed   chan struct{}
}

func newController(t *testing.T) *controller {
	c := &controller{t: t, ip: envoytest.Loopback(), life: time.Hour, tokens: map[string]string{joinToken: spiffeID},
		blobs: map[artifact.Digest][]byte{}, changed: make(chan struct{})}
	c.newCA()
	var err error
	c.keys, err = sign.Keygen(sign.KeygenOptions{
		MeshID: "test", TrustDomain: trustDomain, ExpiresAt: time.Now().Add(time.Hour), ServerRoots: []string{string(c.roots())},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.root, err = sign.OpenRoot(c.keys.Document); err != nil {
		t.Fatal(err)
	}
	c.start(c.free())
	t.Cleanup(func() { c.server.Stop() })
	return c
}

// free is an address of this controller's own: nobody takes it while a test has the server down.
func (c *controller) free() string {
	port, err := envoytest.FreePort(c.ip)
	if err != nil {
		c.t.Fatal(err)
	}
	return net.JoinHostPort(c.ip, strconv.Itoa(port))
}

// start listens, also again after stop.
func (c *controller) start(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.server = c.newServer()
	deliveryv1.RegisterDeliveryServer(c.server, c)
	if !c.elsewhere {
		deliveryv1.RegisterIdentityServer(c.server, c)
	}
	c.listener, c.address = l, l.Addr().String()
	go c.server.Serve(l)
}

func (c *controller) newServer() *grpc.Server {
	pool := x509.NewCertPool()
	pool.AddCert(c.ca)
	return grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{c.serverCertificate()}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven,
	})))
}

// issueElsewhere has a server of its own issue certificates, and returns its address.
func (c *controller) issueElsewhere() string {
	c.stop()
	c.elsewhere = true
	c.start(c.address)
	l, err := net.Listen("tcp", c.free())
	if err != nil {
		c.t.Fatal(err)
	}
	server := c.newServer()
	deliveryv1.RegisterIdentityServer(server, c)
	go server.Serve(l)
	c.t.Cleanup(server.Stop)
	return l.Addr().String()
}

// stop frees the address. Stop alone does not where Serve has not begun yet: the listener is then
// closed when it does.
func (c *controller) stop() {
	c.server.Stop()
	c.listener.Close()
}

func (c *controller) rootFile() string {
	name := filepath.Join(c.t.TempDir(), "root.dsse.json")
	if err := os.WriteFile(name, c.keys.Document, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return name
}

func (c *controller) tokenFile() string {
	name := filepath.Join(c.t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(joinToken+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return name
}

func (c *controller) newCA() {
	c.caKey = newKey(c.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	c.ca = c.certificate(template, template, c.caKey.Public())
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (c *controller) certificate(template, parent *x509.Certificate, public any) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, c.caKey)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return cert
}

func (c *controller) roots() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ca.Raw})
}

func (c *controller) serverCertificate() tls.Certificate {
	key := newKey(c.t)
	cert := c.certificate(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(c.ip)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, c.ca, key.Public())
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// leaf issues a workload's certificate.
func (c *controller) leaf(id string, public any) *x509.Certificate {
	name, err := url.Parse(id)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.certificate(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Second), NotAfter: time.Now().Add(c.life),
		URIs: []*url.URL{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}, c.ca, public)
}

// Issue implements Identity. A token is good for one certificate.
func (c *controller) Issue(ctx context.Context, r *deliveryv1.IssueRequest) (*deliveryv1.IssueResponse, error) {
	csr, err := x509.ParseCertificateRequest(r.GetCsr())
	if err != nil || csr.CheckSignature() != nil {
		return nil, status.Error(codes.InvalidArgument, "bad request")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.tokens[r.GetToken()]
	delete(c.tokens, r.GetToken())
	if chain := peerChain(ctx); len(chain) > 0 && !c.tokenOnly {
		id, ok = chain[0].URIs[0].String(), true
	}
	if !ok {
		return nil, status.Error(codes.PermissionDenied, "unknown token")
	}
	c.issued++
	return &deliveryv1.IssueResponse{Chain: [][]byte{c.leaf(id, csr.PublicKey).Raw}}, nil
}

// Watch implements Delivery.
func (c *controller) Watch(_ *deliveryv1.WatchRequest, s grpc.ServerStreamingServer[deliveryv1.Update]) error {
	c.mu.Lock()
	c.watched++
	c.mu.Unlock()
	for {
		c.mu.Lock()
		update, changed, unknown := c.update, c.changed, c.unknown
		if unknown {
			c.away++
		}
		c.mu.Unlock()
		if unknown {
			return status.Error(codes.NotFound, "the live release has no such workload")
		}
		if update != nil {
			if err := s.Send(update); err != nil {
				return err
			}
		}
		select {
		case <-s.Context().Done():
			return nil
		case <-changed:
		}
	}
}

// Fetch implements Delivery. A nil blob from corrupt ends the answer early.
func (c *controller) Fetch(r *deliveryv1.FetchRequest, s grpc.ServerStreamingServer[deliveryv1.Blob]) error {
	c.mu.Lock()
	busy := c.busy > 0
	c.busy = max(0, c.busy-1)
	c.mu.Unlock()
	if busy {
		return status.Error(codes.ResourceExhausted, "too much to do")
	}
	for _, raw := range r.GetDigests() {
		c.mu.Lock()
		data, corrupt := c.blobs[artifact.Digest(raw)], c.corrupt
		c.mu.Unlock()
		if corrupt != nil {
			if data = corrupt(artifact.Digest(raw), data); data == nil {
				return nil
			}
		}
		if err := s.Send(&deliveryv1.Blob{Digest: raw, Content: data}); err != nil {
			return err
		}
	}
	return nil
}

// WatchEndpoints implements Delivery.
func (c *controller) WatchEndpoints(s grpc.BidiStreamingServer[deliveryv1.EndpointsRequest, deliveryv1.EndpointsUpdate]) error {
	requests := make(chan []string)
	go func() {
		defer close(requests)
		for {
			r, err := s.Recv()
			if err != nil {
				return
			}
			requests <- r.GetClusters()
		}
	}()
	for {
		c.mu.Lock()
		update, changed := &deliveryv1.EndpointsUpdate{Clusters: c.endpoints}, c.changed
		c.mu.Unlock()
		if err := s.Send(update); err != nil {
			return err
		}
		select {
		case names, ok := <-requests:
			if !ok {
				return nil
			}
			c.mu.Lock()
			c.subjects = names
			c.mu.Unlock()
		case <-changed:
		}
	}
}

// Report implements Delivery.
func (c *controller) Report(_ context.Context, r *deliveryv1.ReportRequest) (*deliveryv1.ReportResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports = append(c.reports, r)
	return &deliveryv1.ReportResponse{}, nil
}

func (c *controller) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// publish signs a release and delivers it; edit changes the signed document.
func (c *controller) publish(sequence uint64, s slice, edit ...func(*sign.ReleaseDoc)) *deliveryv1.Update {
	update := c.signed(sequence, s.release(c.t, c.roots()), c.keys.Release, edit...)
	c.change(func() { c.update = update })
	return update
}

// signed returns the update for the workload and keeps the blobs.
func (c *controller) signed(sequence uint64, r *artifact.Release, key *sign.Signer, edit ...func(*sign.ReleaseDoc)) *deliveryv1.Update {
	doc := sign.Describe(r)
	doc.MeshID, doc.Sequence = "test", sequence
	doc.IssuedAt, doc.NotBefore = sign.At(time.Now()), sign.At(time.Now())
	doc.ExpiresAt = sign.At(time.Now().Add(time.Hour))
	for _, f := range edit {
		f(&doc)
	}
	envelope, err := sign.SignRelease(doc, key)
	if err != nil {
		c.t.Fatal(err)
	}
	view, err := r.View(artifact.Key{SPIFFEID: spiffeID, Workload: workload})
	if err != nil {
		c.t.Fatal(err)
	}
	update := &deliveryv1.Update{Envelope: envelope, Leaf: view.Leaf.Encode(), Index: uint64(view.Index)}
	for _, d := range view.Proof {
		update.Proof = append(update.Proof, d[:])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range view.Blobs {
		c.blobs[d], _ = r.Blob(d)
	}
	return update
}

// turnedAway counts the calls of an unknown workload.
func (c *controller) turnedAway() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away
}

// all returns every report.
func (c *controller) all() []*deliveryv1.ReportRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.reports)
}

// report returns the newest report.
func (c *controller) report() *deliveryv1.ReportRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reports) == 0 {
		return &deliveryv1.ReportRequest{}
	}
	return c.reports[len(c.reports)-1]
}

func (c *controller) issuedSoFar() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.issued
}

func (c *controller) watches() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watched
}
