package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/identity"
)

// impostor is a controller in the wrong hands: it has the address and all that the state directory
// of the real one has, delivers by the same code, and tampers with what it sends.
type impostor struct {
	published int
	*deliver.Server
	m    *mesh
	ca   *identity.CA
	key  *sign.Signer // the mesh's
	last *sign.ReleaseDoc

	mu   sync.Mutex
	lies lies
}

// lies are told to every agent. Nil tells the truth.
type lies struct {
	update func(workload string, u *deliveryv1.Update)
	blob   func(*deliveryv1.Blob) error // errEnd ends the stream as if that were all
}

var errEnd = errors.New("the end")

// takeOver kills the controller and takes its place.
func (m *mesh) takeOver() *impostor {
	m.t.Helper()
	m.Controller.Kill()
	keys := filepath.Join(m.State(), "keys")
	ca, err := identity.LoadCA(filepath.Join(keys, "ca.crt"), filepath.Join(keys, "ca.key"))
	m.must(err)
	key, err := sign.LoadPrivateKey(filepath.Join(keys, "release.key"), "")
	m.must(err)
	stored, err := artifact.Read(os.DirFS(filepath.Join(m.State(), "release")), artifact.DefaultLimits)
	m.must(err)
	i := &impostor{m: m, ca: ca, key: key, last: m.signed(stored)}
	i.Server = deliver.New(deliver.Options{Endpoints: m.storedEndpoints(), Log: slog.New(slog.DiscardHandler)})
	i.serve()
	return i
}

// storedEndpoints are those that the controller served.
func (m *mesh) storedEndpoints() *endpoints.Table {
	m.t.Helper()
	var facts struct{ Endpoints map[string][]endpoints.Target }
	text, err := os.ReadFile(filepath.Join(m.State(), "facts.json"))
	m.must(err)
	m.must(json.Unmarshal(text, &facts))
	table := endpoints.NewTable()
	endpoints.NewResolver(table, endpoints.SystemLookup, time.Hour, slog.New(slog.DiscardHandler)).Set(facts.Endpoints)
	return table
}

func (i *impostor) serve() {
	i.m.t.Helper()
	host, _, _ := strings.Cut(i.m.Delivery(), ":")
	serving, err := identity.NewServing(i.ca, []string{host}, time.Hour)
	i.m.must(err)
	pool := x509.NewCertPool()
	pool.AddCert(i.ca.Root())
	server := grpc.NewServer(append(deliver.ServerOptions(), grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: serving.Get, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	})))...)
	deliveryv1.RegisterDeliveryServer(server, i)
	var l net.Listener
	i.m.until(func() error { // a child that was being started holds its parent's sockets for a moment
		l, err = net.Listen("tcp", i.m.Delivery())
		return err
	})
	go server.Serve(l) //nolint:errcheck // the test sees what it does
	i.m.t.Cleanup(server.Stop)
}

// compile compiles the policies as they are.
func (i *impostor) compile() *artifact.Release {
	i.m.t.Helper()
	result, found := compiler.Compile(os.DirFS(i.m.Policies()), compiler.Options{TrustBundle: string(i.ca.RootPEM())})
	if result.Release == nil {
		i.m.t.Fatalf("the policies do not compile: %v", found)
	}
	return result.Release
}

// publish signs a release and delivers it with lies.
func (i *impostor) publish(r *artifact.Release, sequence uint64, key *sign.Signer, told lies) {
	i.m.t.Helper()
	doc := sign.Describe(r)
	doc.MeshID, doc.SequenceEpoch, doc.Trust.TrustDomain = i.last.MeshID, i.last.SequenceEpoch, i.last.Trust.TrustDomain
	doc.Sequence = sequence
	doc.IssuedAt, doc.NotBefore, doc.ExpiresAt = sign.At(time.Now()), sign.At(time.Now()), sign.At(time.Now().Add(time.Hour))
	i.published++ // the server sends no envelope twice, and times are whole seconds
	doc.ExpiresAt = sign.At(doc.ExpiresAt.Add(time.Duration(i.published) * time.Minute))
	envelope, err := sign.SignRelease(doc, key)
	i.m.must(err)
	i.mu.Lock()
	i.lies = told
	i.mu.Unlock()
	i.m.must(i.Publish(r.WithEnvelope(envelope)))
}

func (i *impostor) now() lies {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lies
}

// Watch implements Delivery.
func (i *impostor) Watch(r *deliveryv1.WatchRequest, s deliveryv1.Delivery_WatchServer) error {
	return i.Server.Watch(r, updates{s, i, r.GetWorkload()})
}

type updates struct {
	deliveryv1.Delivery_WatchServer
	i        *impostor
	workload string
}

func (s updates) Send(u *deliveryv1.Update) error {
	if lie := s.i.now().update; lie != nil {
		u = proto.CloneOf(u)
		lie(s.workload, u)
	}
	return s.Delivery_WatchServer.Send(u)
}

// Fetch implements Delivery.
func (i *impostor) Fetch(r *deliveryv1.FetchRequest, s deliveryv1.Delivery_FetchServer) error {
	err := i.Server.Fetch(r, blobs{s, i})
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

type blobs struct {
	deliveryv1.Delivery_FetchServer
	i *impostor
}

func (s blobs) Send(b *deliveryv1.Blob) error {
	if lie := s.i.now().blob; lie != nil {
		b = proto.CloneOf(b)
		if err := lie(b); err != nil {
			return err
		}
	}
	return s.Delivery_FetchServer.Send(b)
}
