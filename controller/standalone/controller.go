package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/signer"
)

// controller is one run of the process. What has no lock belongs to the loop.
type controller struct {
	cfg    Config
	log    *slog.Logger
	keys   keys
	policy policy

	signer *signer.Signer
	seen   uint64           // highest sequence that an agent has shown
	tried  string           // the commit that was compiled last
	retry  bool             // what failed may succeed without a change of the repository
	result *compiler.Result // the last that was taken
	// compiling counts compilations that run, those that were given up too.
	compiling atomic.Int32
	live      *signer.Signed
	// unstored is set while the live release is not on disk.
	unstored bool
	// discovery says what the resolver resolves.
	discovery []byte
	stored    []byte // the facts as they were written last

	serving  atomic.Pointer[signer.Signed] // live, for others than the loop
	ahead    chan uint64                   // sequences that agents have and we do not know
	joined   chan struct{}
	deliver  *deliver.Server
	table    *endpoints.Table
	resolver *endpoints.Resolver
	tokens   *identity.Tokens
	trust    *clientTrust
	status   record
}

// Run serves until ctx ends. It returns an error where it cannot begin; what goes
// wrong later is logged and shown in the status, and the last release stays.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w", err)
	}
	if err := checkOwner(cfg.StateDir); err != nil {
		return fmt.Errorf("state directory %s: %w", cfg.StateDir, err)
	}
	unlock, err := lockFile(filepath.Join(cfg.StateDir, "lock"))
	if err != nil {
		return fmt.Errorf("state directory %s: %w", cfg.StateDir, err)
	}
	defer unlock()
	c, err := newController(ctx, cfg)
	if err != nil {
		return err
	}
	return c.serveAll(ctx)
}

func newController(ctx context.Context, cfg Config) (*controller, error) {
	c := &controller{
		cfg: cfg, log: cfg.Log, policy: newPolicy(cfg),
		ahead: make(chan uint64, 1), joined: make(chan struct{}, 1),
		table: endpoints.NewTable(), tokens: identity.OpenTokens(cfg.tokensFile()),
	}
	if err := c.openKeys(ctx); err != nil {
		return nil, err
	}
	root := c.keys.root.Document()
	var err error
	if c.signer, err = signer.New(c.keys.root, c.keys.release, cfg.stateFile()); err != nil {
		return nil, err
	}
	c.status.now = Status{Version: 1, Mesh: root.MeshID, Source: SourceStatus{Path: cfg.Path}}
	c.resolver = endpoints.NewResolver(c.table, cfg.Lookup, cfg.DNSInterval, c.log)
	c.trust = newClientTrust(c.keys.ca.Root())
	c.deliver = deliver.New(deliver.Options{Endpoints: c.table, Log: c.log, Shown: c.shown})
	if err := c.restore(); err != nil {
		c.log.Error("no stored release is served", "error", err)
	}
	return c, nil
}

// openKeys reads the keys, or makes them where there are none.
func (c *controller) openKeys(ctx context.Context) (err error) {
	dir := c.cfg.KeysDir
	have, err := haveKeys(dir)
	if err != nil {
		return fmt.Errorf("reading keys: %w", err)
	}
	if !have {
		domain, err := c.trustDomain(ctx)
		if err != nil {
			return err
		}
		if err := makeKeys(dir, c.cfg.MeshID, domain); err != nil {
			return fmt.Errorf("making keys: %w", err)
		}
		c.log.Info("made the keys of a new mesh", "mesh", c.cfg.MeshID, "trustDomain", domain, "directory", dir)
		c.log.Info("give every agent this root document", "file", filepath.Join(dir, rootFile))
		c.log.Info("an agent joins with a token: mesh-compile serve token --state-dir " + c.cfg.StateDir + " --workload NAMESPACE/NAME")
	}
	c.keys, err = loadKeys(dir)
	return err
}

// trustDomain is that of the policies, which keys must agree with.
func (c *controller) trustDomain(ctx context.Context) (string, error) {
	if c.cfg.TrustDomain != "" {
		return c.cfg.TrustDomain, nil
	}
	tree, err := c.policy.open(ctx)
	if err != nil {
		return "", err
	}
	defer tree.Close()
	opt := c.cfg.Compile
	opt.LintOnly = true
	result, _ := compiler.Compile(tree.FS, opt)
	if result.Mesh == nil || result.Mesh.Settings().TrustDomain == "" {
		return "", errors.New("making keys: the policies do not say a trust domain: give --trust-domain")
	}
	return result.Mesh.Settings().TrustDomain, nil
}

// serveAll listens, and runs the loop until ctx ends.
func (c *controller) serveAll(ctx context.Context) error {
	delivery, err := net.Listen("tcp", c.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening for agents: %w", err)
	}
	defer delivery.Close()
	statusPage, err := net.Listen("tcp", c.cfg.ListenStatus)
	if err != nil {
		return fmt.Errorf("listening for status: %w", err)
	}
	defer statusPage.Close()
	rpc, err := c.rpcServer()
	if err != nil {
		return err
	}
	web := &http.Server{Handler: c.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelWarn)}
	c.log.Info("serving", "agents", delivery.Addr().String(), "status", "http://"+statusPage.Addr().String()+"/status", "policies", c.cfg.Path)
	if c.cfg.Ready != nil {
		c.cfg.Ready(Addresses{Delivery: delivery.Addr(), Status: statusPage.Addr()})
	}
	return c.runAll(ctx, func() error { return rpc.Serve(delivery) }, func() error { return web.Serve(statusPage) }, func() {
		c.deliver.Drain()
		stopRPC(rpc)
		_ = web.Close()
	})
}

func (c *controller) rpcServer() (*grpc.Server, error) {
	serving, err := identity.NewServing(c.keys.ca, c.cfg.serverNames(), servingTTL)
	if err != nil {
		return nil, err
	}
	rpc := grpc.NewServer(append(deliver.ServerOptions(), grpc.Creds(credentials.NewTLS(c.trust.config(serving))))...)
	deliveryv1.RegisterDeliveryServer(rpc, c.deliver)
	deliveryv1.RegisterIdentityServer(rpc, identity.NewServer(c.keys.ca, c.tokens.Prove, identity.Options{
		TTL: c.cfg.CertificateTTL, Log: c.log, Joined: c.tokenSpent,
		Known: func(id spiffeid.ID) bool { return c.deliver.Knows(id.String()) },
	}))
	return rpc, nil
}

const (
	servingTTL   = 7 * 24 * time.Hour // the key lives in memory and is made anew
	stopDeadline = 5 * time.Second
)

// stopRPC lets calls end, but not for ever.
func stopRPC(rpc *grpc.Server) {
	late := time.AfterFunc(stopDeadline, rpc.Stop)
	defer late.Stop()
	rpc.GracefulStop()
}

// runAll runs the servers and the loop; when one of them or ctx ends, all do.
func (c *controller) runAll(ctx context.Context, rpc, web func() error, stop func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, serve := range []func() error{rpc, web} {
		wg.Go(func() {
			if err := serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serving: %w", err))
			}
		})
	}
	wg.Go(func() { c.resolver.Run(ctx) })
	wg.Go(func() { c.loop(ctx) })
	<-ctx.Done()
	c.log.Info("stopping")
	stop()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (c *controller) tokenSpent(spiffeid.ID) {
	select {
	case c.joined <- struct{}{}:
	default:
	}
}
