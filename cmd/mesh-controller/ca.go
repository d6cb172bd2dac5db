package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mesh-compile/mesh-compile/compiler/sign"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/identity/kubernetes"
)

type caFlags struct {
	common
	root, certificate, key, listen string
	audience                       string
	ttl                            time.Duration
	serving, names                 []string
}

func newCA() *cobra.Command {
	var f caFlags
	c := &cobra.Command{
		Use:   "ca",
		Short: "Issue certificates to workloads and to the roles that serve",
		Long: `ca issues a certificate to whoever shows the token of a service account that is bound
to a pod and made for the audience ` + kubernetes.AudienceCA + `. The API server says whose
the token is, each time; nothing in the request does. It alone has the X.509 key.

Service accounts of --serving get the certificate of a server by the names given, and
no identity.`,
		Example: `  mesh-controller ca --root root.dsse.json --certificate ca.crt --key ca.key \
    --server-name mesh-ca.mesh-system.svc --serving mesh-system/mesh-deliver=mesh-deliver.mesh-system.svc`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	fs := c.Flags()
	f.add(fs, false)
	// Each certificate is a question to the API server, and a deployment asks for
	// hundreds at once; the API server limits who asks by itself.
	f.qps, fs.Lookup("kube-api-qps").DefValue = 500, "500"
	fs.StringVar(&f.root, "root", "", "root document `FILE` of the mesh (required)")
	fs.StringVar(&f.certificate, "certificate", "", "X.509 root `FILE`, PEM (required)")
	fs.StringVar(&f.key, "key", "", "key `FILE` of the X.509 root, PEM (required)")
	fs.StringVar(&f.listen, "listen", ":15012", "host:port for agents and roles")
	fs.StringVar(&f.audience, "audience", kubernetes.AudienceCA, "audience that tokens must be for")
	fs.DurationVar(&f.ttl, "certificate-ttl", identity.DefaultTTL, "how long certificates last")
	fs.StringArrayVar(&f.names, "server-name", nil, "DNS name or address of this role itself; may be repeated (required)")
	fs.StringArrayVar(&f.serving, "serving", nil, "`NAMESPACE/SERVICEACCOUNT=NAME,NAME`: who gets a serving certificate for which names; may be repeated")
	for _, name := range []string{"root", "certificate", "key", "server-name"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

func (f *caFlags) run(ctx context.Context) error {
	root, err := readRoot(f.root)
	if err != nil {
		return err
	}
	ca, err := f.authority(root)
	if err != nil {
		return err
	}
	serving, err := kubernetes.ParseServing(f.serving)
	if err != nil {
		return fmt.Errorf("--serving: %w", err)
	}
	m, log, err := f.manager("ca", nil)
	if err != nil {
		return err
	}
	if !holdsRoot(root, ca) {
		log.Warn("the X.509 root is not among serverRoots of the root document: agents that are new to the mesh refuse this server")
	}
	reviewer, err := kubernetes.NewReviewer(m.GetConfig(), f.audience, root.Document().TrustDomain)
	if err != nil {
		return errFailed{err}
	}
	observed := kubernetes.NewMetrics(ca.Root().NotAfter)
	if err := metrics.Registry.Register(observed); err != nil {
		return errFailed{err}
	}
	defer metrics.Registry.Unregister(observed)
	own, err := identity.NewServing(ca, f.names, f.ttl)
	if err != nil {
		return err
	}
	s := &caServer{listen: f.listen, log: log, rpc: grpc.NewServer(append(identity.ServerOptions(),
		grpc.Creds(credentials.NewTLS(own.TLS())), grpc.UnaryInterceptor(observed.Observe))...)}
	deliveryv1.RegisterIdentityServer(s.rpc, identity.NewServer(ca, reviewer.Prover(serving), identity.Options{TTL: f.ttl, TokensOnly: true, Log: log}))
	if err := errors.Join(m.Add(s), m.AddReadyzCheck("ca", s.ready)); err != nil {
		return errFailed{err}
	}
	return serve(ctx, m)
}

// authority reads the X.509 root and its key, which must be of the mesh.
func (f *caFlags) authority(root *sign.TrustedRoot) (*identity.CA, error) {
	for _, n := range f.names {
		if err := kubernetes.CheckServerName(n); err != nil {
			return nil, fmt.Errorf("--server-name: %w", err)
		}
	}
	if f.ttl < time.Minute {
		return nil, fmt.Errorf("--certificate-ttl %s: want a minute at least", f.ttl)
	}
	ca, err := identity.LoadCA(f.certificate, f.key)
	if err != nil {
		return nil, err
	}
	if own, want := ca.TrustDomain().Name(), root.Document().TrustDomain; own != want {
		return nil, fmt.Errorf("%s is of trust domain %q, root document %s of %q", f.certificate, own, f.root, want)
	}
	return ca, nil
}

func holdsRoot(root *sign.TrustedRoot, ca *identity.CA) bool {
	return slices.Contains(root.Document().ServerRoots, string(ca.RootPEM()))
}

// caServer serves until the manager stops.
type caServer struct {
	listen  string
	log     *slog.Logger
	rpc     *grpc.Server
	serving atomic.Bool
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica issues.
func (s *caServer) NeedLeaderElection() bool { return false }

// caDrain is how long requests under way may take when the role stops.
const caDrain = 10 * time.Second

// Start implements manager.Runnable.
func (s *caServer) Start(ctx context.Context) error {
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listening for agents: %w", err)
	}
	s.log.Info("issuing certificates", "address", l.Addr().String())
	s.serving.Store(true)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.serving.Store(false)
		late := time.AfterFunc(caDrain, s.rpc.Stop)
		defer late.Stop()
		s.rpc.GracefulStop()
	})
	err = s.rpc.Serve(l)
	if !stop() {
		<-stopped
	}
	return err
}

func (s *caServer) ready(*http.Request) error {
	if !s.serving.Load() {
		return errors.New("it does not listen")
	}
	return nil
}
