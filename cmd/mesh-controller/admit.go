package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/admission/webhook"
	"github.com/mesh-compile/mesh-compile/controller/identity"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

type admitFlags struct {
	common
	listen, service, failurePolicy, mode string
}

func newAdmit() *cobra.Command {
	var f admitFlags
	c := &cobra.Command{
		Use:   "admit",
		Short: "Refuse unsafe policies before they take effect",
		Long: `admit judges each policy that is written to the cluster against all that are there,
with the compiler's own checks. It makes its certificate itself, in memory, and
writes the certificate's root and the kinds that are installed into the
ValidatingWebhookConfiguration mesh-compile. One replica serves at a time; another
takes over with a certificate of its own.

A namespace's label mesh-compile.dev/admission (enforce, warn, audit) says what
becomes of a verdict there.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := c.Flags()
	f.add(fs, true)
	fs.StringVar(&f.listen, "listen", ":9443", "host:port for the API server")
	fs.StringVar(&f.service, "service", "mesh-admit", "Service of this role in its namespace")
	fs.StringVar(&f.failurePolicy, "failure-policy", "Fail", "what becomes of writes while this role is down: Fail, once a review has shown that the API server reaches it, or Ignore (admitted, and judged when they are compiled)")
	fs.StringVar(&f.mode, "default-mode", webhook.Enforce, "mode of namespaces without the label: enforce, warn or audit")
	return c
}

func (f *admitFlags) check() error {
	switch admissionregistration.FailurePolicyType(f.failurePolicy) {
	case admissionregistration.Ignore, admissionregistration.Fail:
	default:
		return fmt.Errorf("--failure-policy %q: want Ignore or Fail", f.failurePolicy)
	}
	switch f.mode {
	case webhook.Enforce, webhook.Warn, webhook.Audit:
		return nil
	}
	return fmt.Errorf("--default-mode %q: want enforce, warn or audit", f.mode)
}

func (f *admitFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	m, log, err := f.manager("admit", func(o *ctrl.Options) {
		o.Client.Cache = &client.CacheOptions{DisableFor: []client.Object{&admissionregistration.ValidatingWebhookConfiguration{}}}
	})
	if err != nil {
		return err
	}
	known, err := objects.NewCache(m.GetConfig(), objects.CacheOptions{Log: log, Discovery: 2 * time.Second})
	if err != nil {
		return errFailed{err}
	}
	a := &admitServer{flags: f, manager: m, known: known, log: log}
	if err := m.Add(everywhere(known.Run)); err != nil {
		return errFailed{err}
	}
	if err := m.Add(a); err != nil {
		return errFailed{err}
	}
	if err := m.AddReadyzCheck("serving", a.ready); err != nil {
		return errFailed{err}
	}
	return serve(cmd.Context(), m)
}

// everywhere runs in replicas that do not lead, too.
type everywhere func(context.Context) error

func (e everywhere) Start(ctx context.Context) error { return e(ctx) }
func (everywhere) NeedLeaderElection() bool          { return false }

var _ manager.LeaderElectionRunnable = everywhere(nil)

// admitServer is the webhook of the replica that leads.
type admitServer struct {
	flags   *admitFlags
	manager ctrl.Manager
	known   *objects.Cache
	log     *slog.Logger
	serving atomic.Bool
	asked   atomic.Bool // the API server has reached this replica
}

// noted remembers that a review came. The configuration fails closed only then: one
// that nobody can reach would lock the cluster.
func (a *admitServer) noted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked.Store(true)
		next.ServeHTTP(w, r)
	})
}

// failurePolicy is what was asked for, once it is safe.
func (a *admitServer) failurePolicy() admissionregistration.FailurePolicyType {
	if !a.asked.Load() {
		return admissionregistration.Ignore
	}
	return admissionregistration.FailurePolicyType(a.flags.failurePolicy)
}

func (a *admitServer) ready(*http.Request) error {
	switch {
	case !a.serving.Load():
		return errors.New("another replica serves, or none yet")
	case !a.known.Synced():
		return admission.ErrNotReady
	}
	return nil
}

// base is what is in the cluster, nil while it is not all read.
func (a *admitServer) base() *objects.Set {
	if !a.known.Synced() {
		return nil
	}
	return a.known.Set()
}

// How long the certificates last, which are never stored. The root outlives the
// process; the leaf is made anew half way.
const admitRootTTL, admitLeafTTL = 10 * 365 * 24 * time.Hour, 7 * 24 * time.Hour

// Start serves and keeps the configuration until ctx ends.
func (a *admitServer) Start(ctx context.Context) error {
	name := a.flags.service + "." + a.flags.namespace + ".svc"
	ca, err := identity.NewCA(name, time.Now().Add(admitRootTTL))
	if err != nil {
		return err
	}
	serving, err := identity.NewServing(ca, []string{name}, admitLeafTTL)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", a.flags.listen)
	if err != nil {
		return fmt.Errorf("listening for the API server: %w", err)
	}
	mux := http.NewServeMux()
	reviewer := admission.New(admission.Options{Base: a.base, Log: a.log, Timeout: webhook.DefaultTimeout})
	mux.Handle("/review", a.noted(webhook.NewHandler(webhook.Reviews(reviewer, a.known.NamespaceLabels, a.flags.mode), webhook.Options{})))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: serving.Get},
	}
	go a.keep(ctx, ca.RootPEM())
	context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(end) // what is left is cut off
	})
	a.serving.Store(true)
	a.log.Info("serving reviews", "address", listener.Addr().String())
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving reviews: %w", err)
	}
	return nil
}

// keepEvery is how often kinds are looked for whose CRD has come meanwhile.
const keepEvery = 2 * time.Second

// keep writes the configuration whenever it is not what it should be.
func (a *admitServer) keep(ctx context.Context, root []byte) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		if err := a.configure(ctx, root); err != nil && ctx.Err() == nil {
			a.log.Error("the API server may not ask this replica", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *admitServer) configure(ctx context.Context, root []byte) error {
	if !a.known.Synced() {
		return nil // it is not worth asking yet
	}
	mapper, err := apiutil.NewDynamicRESTMapper(a.manager.GetConfig(), a.manager.GetHTTPClient())
	if err != nil {
		return err
	}
	resources, err := webhook.Installed(mapper)
	if err != nil {
		return err
	}
	target := webhook.Target{Namespace: a.flags.namespace, Service: a.flags.service, Path: "/review", CABundle: root}
	return webhook.Write(ctx, a.manager.GetClient(), webhook.Webhooks(resources, target, a.failurePolicy()))
}
