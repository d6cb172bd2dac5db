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
	"slices"
	"time"

	"github.com/spf13/cobra"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	coordination "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/admission/audit"
	"github.com/mesh-compile/mesh-compile/controller/admission/serving"
	"github.com/mesh-compile/mesh-compile/controller/admission/webhook"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

type admitFlags struct {
	common
	listen, service, failurePolicy, mode, selector string
	pod, account, certDir, clientCA                string
	rootTTL, leafTTL, settle, drain                time.Duration
}

func newAdmit() *cobra.Command {
	var f admitFlags
	c := &cobra.Command{
		Use:   "admit",
		Short: "Refuse unsafe policies before they take effect",
		Long: `admit judges each policy that is written to the cluster against all that are there,
with the compiler's own checks. Every replica answers, with a certificate of its own
that it makes in memory. One of them writes the roots of all and the kinds that are
installed into the ValidatingWebhookConfiguration mesh-compile, and AuditReports of
what is there already.

A namespace's label mesh-compile.dev/admission (enforce, warn, audit) says what
becomes of a verdict there.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := c.Flags()
	f.add(fs, true)
	fs.StringVar(&f.listen, "listen", ":9443", "host:port for the API server")
	fs.StringVar(&f.service, "service", "mesh-admit", "Service of this role in its namespace")
	fs.StringVar(&f.account, "service-account", "mesh-admit", "service account of this role")
	fs.StringVar(&f.pod, "pod", cmp.Or(os.Getenv("POD_NAME"), "mesh-admit"), "name of this replica ($POD_NAME)")
	fs.StringVar(&f.failurePolicy, "failure-policy", "Fail", "what becomes of writes while this role is down: Fail, once the API server has shown that it reaches it, or Ignore (admitted, and judged when they are compiled)")
	fs.StringVar(&f.mode, "default-mode", webhook.Enforce, "mode of namespaces without the label: enforce, warn or audit")
	fs.StringVar(&f.selector, "namespace-selector", "", "labels of the namespaces whose objects are judged, as kubectl's -l has them (default: all)")
	fs.StringVar(&f.certDir, "cert-dir", "", "directory with tls.crt, tls.key and ca.crt that somebody else renews (default: certificates of its own)")
	fs.StringVar(&f.clientCA, "client-ca", "", "file with the roots, in PEM, of the certificates that API servers show to webhooks; nobody else is answered then (default: whoever reaches this role)")
	fs.DurationVar(&f.rootTTL, "root-ttl", 90*24*time.Hour, "how long a root of its own lasts; it is renewed half way")
	fs.DurationVar(&f.leafTTL, "certificate-ttl", 7*24*time.Hour, "how long a certificate of its own lasts; it is renewed half way")
	fs.DurationVar(&f.settle, "settle", 5*time.Second, "how long every API server may take to see a root that is in the configuration")
	fs.DurationVar(&f.drain, "drain", 5*time.Second, "how long a replica that ends still answers: until endpoints follow its readiness")
	return c
}

func (f *admitFlags) check() (*metav1.LabelSelector, error) {
	switch admissionregistration.FailurePolicyType(f.failurePolicy) {
	case admissionregistration.Ignore, admissionregistration.Fail:
	default:
		return nil, fmt.Errorf("--failure-policy %q: want Ignore or Fail", f.failurePolicy)
	}
	switch f.mode {
	case webhook.Enforce, webhook.Warn, webhook.Audit:
	default:
		return nil, fmt.Errorf("--default-mode %q: want enforce, warn or audit", f.mode)
	}
	if f.leafTTL <= 0 || f.rootTTL < 2*f.leafTTL {
		return nil, fmt.Errorf("--root-ttl %s: want twice --certificate-ttl %s or more", f.rootTTL, f.leafTTL)
	}
	if f.selector == "" {
		return nil, nil
	}
	selector, err := metav1.ParseToLabelSelector(f.selector)
	if err != nil {
		return nil, fmt.Errorf("--namespace-selector: %w", err)
	}
	return selector, nil
}

// host is the name by which the API server calls.
func (f *admitFlags) host() string { return f.service + "." + f.namespace + ".svc" }

func (f *admitFlags) source() serving.Source {
	if f.certDir != "" {
		return serving.NewDirectory(f.certDir, f.host())
	}
	return serving.NewSelf(f.host(), f.rootTTL, f.leafTTL)
}

// clients are the roots of those who may ask, nil for whoever reaches this role.
func (f *admitFlags) clients() (*x509.CertPool, error) {
	if f.clientCA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.clientCA)
	if err != nil {
		return nil, fmt.Errorf("--client-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--client-ca %s: no certificate in PEM", f.clientCA)
	}
	return roots, nil
}

func (f *admitFlags) run(cmd *cobra.Command) error {
	selector, err := f.check()
	if err != nil {
		return err
	}
	clients, err := f.clients()
	if err != nil {
		return err
	}
	m, log, err := f.manager("admit", func(o *ctrl.Options) {
		o.Client.Cache = &client.CacheOptions{DisableFor: []client.Object{
			&admissionregistration.ValidatingWebhookConfiguration{}, &coordination.Lease{}, &v1alpha1.AuditReport{},
		}}
	})
	if err != nil {
		return err
	}
	known, err := objects.NewCache(m.GetConfig(), objects.CacheOptions{Log: log, Discovery: 2 * time.Second})
	if err != nil {
		return errFailed{err}
	}
	a := &admitServer{
		flags: f, selector: selector, manager: m, known: known, log: log, metrics: webhook.NewMetrics(),
		certificates: serving.NewHolder(f.source(), f.settle),
		roots:        serving.NewRoots(m.GetClient(), f.namespace, f.pod),
	}
	a.reviewer = admission.New(admission.Options{Base: a.base, Live: a.live, Log: log, Timeout: webhook.DefaultTimeout})
	a.server = serving.NewServer(a.handler(), serving.Options{Certificates: a.certificates, Clients: clients, Drain: f.drain, Log: log})
	reports := &audit.Keeper{Client: m.GetClient(), Namespace: f.namespace, Objects: a.base, Judge: a.reviewer.All, Log: log}
	metrics.Registry.MustRegister(a.metrics)
	for _, r := range []manager.Runnable{everywhere(a.serve), everywhere(a.follow), manager.RunnableFunc(a.lead), manager.RunnableFunc(reports.Run)} {
		if err := m.Add(r); err != nil {
			return errFailed{err}
		}
	}
	if err := m.AddReadyzCheck("serving", a.ready); err != nil {
		return errFailed{err}
	}
	return serve(cmd.Context(), m)
}

// follow keeps the state that reviews begin with compiled.
func (a *admitServer) follow(ctx context.Context) error {
	a.reviewer.Follow(ctx, a.known.Changed())
	return nil
}

// everywhere runs in replicas that do not lead, too.
type everywhere func(context.Context) error

func (e everywhere) Start(ctx context.Context) error { return e(ctx) }
func (everywhere) NeedLeaderElection() bool          { return false }

var _ manager.LeaderElectionRunnable = everywhere(nil)

// admitServer is one replica.
type admitServer struct {
	flags        *admitFlags
	selector     *metav1.LabelSelector
	manager      ctrl.Manager
	known        *objects.Cache
	log          *slog.Logger
	metrics      *webhook.Metrics
	reviewer     *admission.Reviewer
	certificates *serving.Holder
	roots        *serving.Roots
	server       *serving.Server

	probed     time.Time // the leader's last probe
	notReached error     // and what came of it
}

func (a *admitServer) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, judge webhook.Judge) {
		mux.Handle(path, webhook.NewHandler(judge, webhook.Options{}))
	}
	handle(webhook.ReviewPath, webhook.Reviews(a.reviewer, a.known.NamespaceLabels, a.flags.mode, a.metrics))
	handle(webhook.NotePath, webhook.Notes(a.metrics, a.log))
	handle(webhook.ProbePath, webhook.Probed)
	return mux
}

func (a *admitServer) ready(*http.Request) error {
	switch {
	case a.server.Ending():
		return errors.New("this replica ends")
	case !a.known.Synced():
		return admission.ErrNotReady
	case !a.certificates.Trusted(time.Now()):
		return errors.New("the API server does not trust this replica's certificate yet")
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

// live asks the API server for one object of those kinds that the compiler reads.
func (a *admitServer) live(ctx context.Context, r admission.Ref) (*unstructured.Unstructured, error) {
	known := func(k objects.Kind) bool {
		return k.Group == r.Group && k.Kind == r.Kind && slices.Contains(k.Versions, r.Version)
	}
	if !slices.ContainsFunc(objects.Kinds(), known) {
		return nil, nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind})
	err := a.manager.GetAPIReader().Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Name}, u)
	return u, err
}

// serve answers until ctx ends and this replica has drained; what it needs for that
// ends after it.
func (a *admitServer) serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", a.flags.listen)
	if err != nil {
		return fmt.Errorf("listening for the API server: %w", err)
	}
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	go func() { _ = a.known.Run(alive) }() // it ends with ctx only
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		every(alive, keepEvery, a.renew)
	}()
	a.log.Info("serving reviews", "address", listener.Addr().String())
	err = a.server.Serve(ctx, listener)
	end()
	<-renewed
	a.withdraw()
	return err
}

// withdraw lets the root of this replica go now; otherwise it is forgotten later.
func (a *admitServer) withdraw() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := a.roots.Withdraw(ctx); err != nil {
		a.log.Warn("this replica's root is trusted for a while longer", "error", err)
	}
}

// How often certificates, roots and kinds are looked at, and whether the API server
// still reaches a replica that it has reached.
const (
	keepEvery  = time.Second
	probeEvery = 15 * time.Second
)

func every(ctx context.Context, period time.Duration, do func(context.Context)) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// renew takes this replica's certificates a step further.
func (a *admitServer) renew(ctx context.Context) {
	now := time.Now()
	have, err := webhook.Configuration(ctx, a.manager.GetClient())
	trusts := func(roots string) bool { return err == nil && webhook.Trusts(have, []byte(roots)) }
	if failed := a.certificates.Step(now, trusts); failed != nil {
		a.log.Error("the certificate cannot be renewed", "error", failed)
	}
	if roots := a.certificates.Roots(); err == nil && len(roots) > 0 {
		err = a.roots.Publish(ctx, roots, now)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Warn("the API server may not trust this replica", "error", err)
	}
	a.metrics.Serving(a.certificates.Expires())
}

// lead keeps the configuration until ctx ends or another replica leads.
func (a *admitServer) lead(ctx context.Context) error {
	every(ctx, keepEvery, func(ctx context.Context) {
		if err := a.configure(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("the webhook's configuration may be old", "error", err)
		}
	})
	return nil
}

func (a *admitServer) configure(ctx context.Context) error {
	if !a.known.Synced() {
		return nil // it is not worth asking yet
	}
	bundle, err := a.roots.Bundle(ctx, time.Now())
	if err != nil || len(bundle) == 0 {
		return err
	}
	have, err := webhook.Configuration(ctx, a.manager.GetClient())
	if err != nil {
		return err
	}
	target := webhook.Target{
		Namespace: a.flags.namespace, Service: a.flags.service, Account: a.flags.account,
		CABundle: bundle, Selector: a.selector, Failure: a.failurePolicy(ctx, have),
	}
	return webhook.Write(ctx, a.manager.GetClient(), have, webhook.Webhooks(webhook.Reviewed(a.known.Installed()), target))
}

// failurePolicy is what was asked for, once the API server has shown that it reaches a
// replica: a configuration that fails closed and reaches nobody would lock the
// cluster's policies. What was shown once stays, also with another leader: whoever cuts
// the webhook off must not open it.
func (a *admitServer) failurePolicy(ctx context.Context, have *admissionregistration.ValidatingWebhookConfiguration) admissionregistration.FailurePolicyType {
	if now := time.Now(); a.notReached != nil || now.Sub(a.probed) > probeEvery {
		a.notReached, a.probed = webhook.Reached(a.roots.Probe(ctx)), now
	}
	closed := admissionregistration.FailurePolicyType(a.flags.failurePolicy) == admissionregistration.Fail &&
		(a.notReached == nil || webhook.FailsClosed(have))
	a.metrics.Kept(closed, a.notReached == nil)
	if a.notReached != nil {
		a.log.Warn("the API server may not reach the webhook", "error", a.notReached, "failsClosed", closed)
	}
	if closed {
		return admissionregistration.Fail
	}
	return admissionregistration.Ignore
}
