package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/mesh-compile/mesh-compile/agent/authz"
	"github.com/mesh-compile/mesh-compile/agent/bootstrap"
	"github.com/mesh-compile/mesh-compile/agent/endpoints"
	"github.com/mesh-compile/mesh-compile/agent/envoy"
	"github.com/mesh-compile/mesh-compile/agent/fetch"
	"github.com/mesh-compile/mesh-compile/agent/identity"
	"github.com/mesh-compile/mesh-compile/agent/socket"
	"github.com/mesh-compile/mesh-compile/agent/store"
	"github.com/mesh-compile/mesh-compile/agent/verify"
	"github.com/mesh-compile/mesh-compile/agent/xds"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// An Agent is the parts and what they share.
type Agent struct {
	config Config
	store  *store.Store
	xds    *xds.Server
	envoy  *envoy.Supervisor
	book   *endpoints.Book
	authz  *authz.Server
	// envoyVersion is that of the program; a running Envoy of another version
	// is one that somebody replaced the program of.
	envoyVersion string
	bootstrap    []byte // that Envoy is started with

	// tokenFirst: a certificate was not believed and the token was. It belongs to
	// keepIdentity.
	tokenFirst bool

	updates chan *deliveryv1.Update // from the controller, the newest only
	start   chan struct{}           // closed when Envoy may start
	started sync.Once

	filesMu sync.Mutex
	files   map[string]xds.Resource // certificates of gateways as they were read last

	mu         sync.Mutex
	root       *sign.TrustedRoot
	credential *identity.Credential
	active     *verify.Release // what Envoy has taken
	appliedAt  time.Time       // when it did; zero when an earlier agent saw it
	trying     *verify.Release // what Envoy is being given
	status     status
	changed    chan struct{} // closed and replaced when credential, active or report change
	report     *deliveryv1.ReportRequest
	rejected   *rejection
	client     *fetch.Client // nil while not connected
}

// Run runs an agent until ctx ends, and Envoy with it.
func Run(ctx context.Context, c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	a := &Agent{
		config: c, book: endpoints.NewBook(), authz: authz.NewServer(), updates: make(chan *deliveryv1.Update, 1),
		start: make(chan struct{}), changed: make(chan struct{}),
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	defer a.store.Close()
	listener, err := socket.Listen(c.agentSocket(), c.Log)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	a.xds.Register(server)
	a.authz.Register(server)
	return a.run(ctx, server, listener)
}

// open reads what is stored and makes the parts.
func (a *Agent) open(ctx context.Context) (err error) {
	if a.envoyVersion, err = envoy.Version(ctx, a.config.Envoy.Path); err != nil {
		return err
	}
	a.bootstrap, err = bootstrap.Encode(bootstrap.Options{
		NodeID: a.config.Workload + "/" + a.config.Instance, Workload: a.config.Workload,
		AgentSocket: a.config.agentSocket(), AdminSocket: a.config.adminSocket(),
	})
	if err != nil {
		return err
	}
	if a.store, err = store.Open(a.config.StateDir); err != nil {
		return err
	}
	if err := a.openRoot(); err != nil {
		a.store.Close()
		return err
	}
	e := a.config.Envoy
	a.envoy = envoy.New(envoy.Config{
		Path: e.Path, Args: e.Args, Concurrency: e.Concurrency, LogLevel: e.LogLevel, DrainTime: e.DrainTime,
		Dir: a.config.StateDir, Bootstrap: a.bootstrap, AdminSocket: a.config.adminSocket(),
	})
	a.xds = xds.NewServer(xds.Options{
		Warming: a.envoy.Admin().Warming, Deadline: a.config.Deadline, Grace: a.config.Grace,
	})
	return nil
}

// openRoot takes the newer of the configured root and the stored one, which
// follows it by a verified chain.
func (a *Agent) openRoot() error {
	data, err := os.ReadFile(a.config.RootFile)
	if err != nil {
		return fmt.Errorf("reading the root document: %w", err)
	}
	if a.root, err = sign.OpenRoot(data); err != nil {
		return fmt.Errorf("reading the root document %s: %w", a.config.RootFile, err)
	}
	stored, err := a.store.Root()
	if err != nil || stored == nil {
		return err
	}
	newest, err := sign.OpenRoot(stored)
	if err != nil {
		return fmt.Errorf("reading the stored root document: %w", err)
	}
	if newest.Document().MeshID != a.root.Document().MeshID {
		return fmt.Errorf("%s is of mesh %q, the state directory of mesh %q: name another directory",
			a.config.RootFile, a.root.Document().MeshID, newest.Document().MeshID)
	}
	if newest.Document().Version > a.root.Document().Version {
		a.root = newest
	}
	return nil
}

// run starts every loop; the first to fail ends all.
func (a *Agent) run(ctx context.Context, server *grpc.Server, listener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(listener) })
	group.Go(func() error { return a.serveStatus(ctx) })
	group.Go(func() error { return a.runEnvoy(ctx, server) })
	a.restoreCredential()
	if a.restore() {
		group.Go(func() error { return a.serveRestored(ctx) })
	}
	group.Go(func() error { return a.keepIdentity(ctx) })
	group.Go(func() error { return a.keepApplying(ctx) })
	group.Go(func() error { return a.keepEndpoints(ctx) })
	group.Go(func() error { return a.storeEndpoints(ctx) })
	group.Go(func() error { return a.keepComparing(ctx) })
	group.Go(func() error { return a.keepFiles(ctx) })
	if a.config.Controller != "" {
		group.Go(func() error { return a.keepConnected(ctx) })
	}
	return group.Wait()
}

// runEnvoy waits for a certificate and a release: an Envoy without them would
// only wait itself. The socket outlives Envoy, so that it ends in order.
func (a *Agent) runEnvoy(ctx context.Context, server *grpc.Server) error {
	defer server.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-a.start:
		return a.envoy.Run(ctx)
	}
}

// change updates what is shared and wakes who waits for it.
func (a *Agent) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

// view reads what is shared; the channel is closed at the next change.
func (a *Agent) view(f func()) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	return a.changed
}

// roots returns the X.509 roots to trust: those of the signed release, and
// before the first one those of the root document.
func (a *Agent) roots() (*x509.CertPool, error) {
	var text []byte
	a.view(func() {
		text = []byte(strings.Join(a.root.Document().ServerRoots, "\n"))
		if r := a.current(); r != nil && len(r.TrustBundle) > 0 {
			text = r.TrustBundle
		}
	})
	return identity.Pool(text)
}

// current returns the release whose secrets and limits are in force; the lock
// is held.
func (a *Agent) current() *verify.Release {
	if a.trying != nil {
		return a.trying
	}
	return a.active
}
