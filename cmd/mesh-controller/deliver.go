package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
	"github.com/mesh-compile/mesh-compile/controller/deliver/follow"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
	"github.com/mesh-compile/mesh-compile/controller/endpoints"
	"github.com/mesh-compile/mesh-compile/controller/endpoints/kubernetes"
	"github.com/mesh-compile/mesh-compile/controller/fleet"
	"github.com/mesh-compile/mesh-compile/controller/fleet/cluster"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	reviewer "github.com/mesh-compile/mesh-compile/controller/identity/kubernetes"
	"github.com/mesh-compile/mesh-compile/controller/peer"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

type deliverFlags struct {
	common
	store, root, listen string
	ca, caName, caToken string
	agentTokens         bool
	stop                deliver.Stop
}

func newDeliver() *cobra.Command {
	var f deliverFlags
	c := &cobra.Command{
		Use:   "deliver",
		Short: "Serve releases and endpoints to agents",
		Long: `deliver serves agents the signed releases that Releases name, and the endpoints of
their clusters. It signs nothing and keeps nothing: any number of replicas may run,
and an agent may be connected to any.

Its serving certificate comes from the ca role, by the token of its own service
account. Agents show a certificate of the ca role; with --agent-tokens also a
service account's token for the audience ` + reviewer.AudienceDeliver + `.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := c.Flags()
	f.add(fs, false)
	fs.StringVar(&f.store, "store", "", "release store: file:///DIRECTORY or oci://HOST/REPOSITORY (required)")
	fs.StringVar(&f.root, "root", "", "root document `FILE` of the mesh (required)")
	fs.StringVar(&f.listen, "listen", ":15010", "host:port for agents")
	fs.StringVar(&f.ca, "ca", "", "host:port of the ca role (required)")
	fs.StringVar(&f.caName, "ca-name", "", "name in the certificate of the ca role (default: the host of --ca)")
	fs.StringVar(&f.caToken, "ca-token-file", "/var/run/secrets/mesh/ca/token", "token `FILE` of our service account for the ca role")
	fs.BoolVar(&f.agentTokens, "agent-tokens", false, "know agents without a certificate by the tokens of their service accounts")
	fs.DurationVar(&f.stop.Unready, "stop-unready", deliver.DefaultStop.Unready, "time out of service before agents are asked to leave")
	fs.DurationVar(&f.stop.Leave, "stop-leave", deliver.DefaultStop.Leave, "time that agents have to leave")
	f.stop.End = deliver.DefaultStop.End
	for _, name := range []string{"store", "root", "ca"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

// delivery is the parts of the role.
type delivery struct {
	deliverFlags
	server   *deliver.Server
	follower *follow.Follower
	source   *kubernetes.Source
	roots    *deliver.ClientRoots
	serving  *identity.Issued
	reports  *cluster.Writer
	rpc      *grpc.Server
	stopping atomic.Bool
}

func (f *deliverFlags) run(cmd *cobra.Command) error {
	root, err := readRoot(f.root)
	if err != nil {
		return err
	}
	contents, err := store.Open(f.store)
	if err != nil {
		return err
	}
	m, log, err := f.manager("deliver", func(o *ctrl.Options) {
		o.Cache.DefaultNamespaces = map[string]cache.Config{f.namespace: {}}
		grace := f.stop.Unready + f.stop.Leave + f.stop.End + gracePeriod
		o.GracefulShutdownTimeout = &grace
	})
	if err != nil {
		return err
	}
	table := endpoints.NewTable()
	d := &delivery{deliverFlags: *f}
	if d.source, err = kubernetes.New(m.GetConfig(), kubernetes.Options{Table: table, Log: log}); err != nil {
		return errFailed{err}
	}
	opt := deliver.Options{Endpoints: table, Log: log, Locality: d.source.Locality, Shown: func(e []byte) { d.follower.Shown(e) }}
	options := deliver.ServerOptions()
	if f.agentTokens {
		if opt.Tokens, err = agentTokens(m, root); err != nil {
			return errFailed{err}
		}
		options = deliver.TokenServerOptions()
	}
	d.server = deliver.New(opt)
	if err := d.identify(root, log); err != nil {
		return err
	}
	d.follower = follow.New(follow.Options{
		Root: root, Store: contents, Deliver: d.server, Endpoints: d.source.Set, Trust: d.roots.Set, Log: log,
	})
	if err := d.follower.Watch(m, f.namespace); err != nil {
		return errFailed{err}
	}
	d.reports = d.writer(m, log)
	if err := metrics.Registry.Register(follow.Metrics{Follower: d.follower, Table: table}); err != nil {
		return errFailed{err}
	}
	d.rpc = grpc.NewServer(append(options, grpc.Creds(credentials.NewTLS(d.roots.TLS(d.serving.Get))))...)
	deliveryv1.RegisterDeliveryServer(d.rpc, d.server)
	if err := errors.Join(m.Add(d), m.AddReadyzCheck("deliver", d.ready)); err != nil {
		return errFailed{err}
	}
	return serve(cmd.Context(), m)
}

// agentTokens is how agents are known that show no certificate.
func agentTokens(m ctrl.Manager, root *sign.TrustedRoot) (*peer.Tokens, error) {
	r, err := reviewer.NewReviewer(m.GetConfig(), reviewer.AudienceDeliver, root.Document().TrustDomain)
	if err != nil {
		return nil, err
	}
	return peer.NewTokens(r.Peer), nil
}

// identify prepares our certificate and the roots of agents' ones.
func (d *delivery) identify(root *sign.TrustedRoot, log *slog.Logger) error {
	bundle := []byte(strings.Join(root.Document().ServerRoots, "\n"))
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return fmt.Errorf("root document %s has no serverRoots: nobody could know the ca role or us", d.deliverFlags.root)
	}
	host, _, err := net.SplitHostPort(d.ca)
	if err != nil {
		return fmt.Errorf("--ca %q: want host:port", d.ca)
	}
	if d.roots, err = deliver.NewClientRoots(bundle); err != nil {
		return err
	}
	d.serving = identity.NewIssued(identity.IssuedOptions{
		Issuer: d.ca, IssuerName: cmp.Or(d.caName, host), Roots: pool, TokenFile: d.caToken, Log: log,
	})
	return nil
}

// writer is what reports the fleet of this replica.
func (d *delivery) writer(m ctrl.Manager, log *slog.Logger) *cluster.Writer {
	host, _ := os.Hostname()
	return &cluster.Writer{
		Config: m.GetConfig(), Namespace: d.namespace, Log: log,
		Replica: cmp.Or(os.Getenv("POD_NAME"), host), PodUID: types.UID(os.Getenv("POD_UID")),
		Proxies: func() []v1alpha1.ProxyReport {
			var out []v1alpha1.ProxyReport
			for _, p := range d.server.Fleet() {
				out = append(out, fleet.Report(p))
			}
			return out
		},
		Version: func() uint64 { return d.server.FleetVersion() + d.follower.Status().Shown }, // both only grow
		Highest: func() int64 { return int64(d.follower.Status().Shown) },
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica serves.
func (d *delivery) NeedLeaderElection() bool { return false }

var _ manager.LeaderElectionRunnable = (*delivery)(nil)

// Start serves until ctx ends. Endpoints are followed, and the certificate kept, as
// long as an agent may be here.
func (d *delivery) Start(ctx context.Context) error {
	l, err := net.Listen("tcp", d.listen)
	if err != nil {
		return fmt.Errorf("listening for agents: %w", err)
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { d.source.Run(background) })
	wg.Go(func() { d.serving.Run(background) })
	failed := make(chan error, 1)
	wg.Go(func() { failed <- d.reports.Run(background) })
	err = d.server.Serve(ctx, d.rpc, l, d.stop, func() { d.stopping.Store(true) })
	cancel()
	return errors.Join(err, <-failed)
}

// ready is false as soon as the role begins to stop. Before the first release there
// is nothing to serve, and yet agents may come and wait.
func (d *delivery) ready(*http.Request) error {
	status := d.follower.Status()
	switch {
	case d.stopping.Load():
		return errors.New("stopping")
	case !d.serving.Valid(time.Now()):
		return errors.New("there is no serving certificate")
	case !d.source.Synced():
		return errors.New("the endpoints are not known yet")
	case status.Sequence == 0 && status.Behind != "":
		return errors.New("no release can be served: " + status.Behind)
	}
	return nil
}
