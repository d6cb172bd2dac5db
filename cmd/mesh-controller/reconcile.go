package main

import (
	"cmp"
	"time"

	helper "github.com/fluxcd/pkg/runtime/controller"
	"github.com/fluxcd/pkg/runtime/events"
	fluxmetrics "github.com/fluxcd/pkg/runtime/metrics"
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/reconcile"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

type reconcileFlags struct {
	common
	store, root                  string
	artifactAddress, artifactURL string
	notifications                string
}

func newReconcile() *cobra.Command {
	var f reconcileFlags
	c := &cobra.Command{
		Use:   "reconcile",
		Short: "Compile the policies of Flux sources and of this cluster into Releases, and follow how they spread",
		Long: `reconcile fetches what the PolicySync of its namespace names, compiles it, stores the
content and makes a Release. It has no key: nothing that it makes is live before the
sign role has signed it. Policies with an error never replace what is live: a Flux source
is refused whole, an object of the cluster alone, and no deny is dropped.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := c.Flags()
	f.add(fs, true)
	fs.StringVar(&f.store, "store", "", "release store: file:///DIRECTORY or oci://HOST/REPOSITORY (required)")
	fs.StringVar(&f.root, "root", "", "root document `FILE` of the mesh (required)")
	fs.StringVar(&f.artifactAddress, "artifact-address", ":9790", "host:port that serves the archives of ExternalArtifacts")
	fs.StringVar(&f.artifactURL, "artifact-url", "", "`URL` by which Flux reaches it (default http://mesh-reconcile.NAMESPACE.svc)")
	fs.StringVar(&f.notifications, "events-addr", "", "`URL` of Flux's notification-controller, which is told of events")
	for _, name := range []string{"store", "root"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

func (f *reconcileFlags) run(cmd *cobra.Command) error {
	root, err := readRoot(f.root)
	if err != nil {
		return err
	}
	contents, err := store.Open(f.store)
	if err != nil {
		return err
	}
	m, log, err := f.manager("reconcile", func(o *ctrl.Options) {
		own := cache.ByObject{Namespaces: map[string]cache.Config{f.namespace: {}}}
		o.Cache.ByObject = map[client.Object]cache.ByObject{
			&v1alpha1.PolicySync{}: own, &v1alpha1.Release{}: own, &v1alpha1.FleetReport{}: own,
		}
	})
	if err != nil {
		return err
	}
	observed := reconcile.NewMetrics()
	if err := metrics.Registry.Register(observed); err != nil {
		return errFailed{err}
	}
	defer metrics.Registry.Unregister(observed)
	durations := fluxmetrics.NewRecorder()
	for _, c := range durations.Collectors() {
		if err := metrics.Registry.Register(c); err != nil {
			return errFailed{err}
		}
		defer metrics.Registry.Unregister(c)
	}
	recorder, err := events.NewRecorder(m, ctrl.Log, f.notifications, "mesh-reconcile")
	if err != nil {
		return err
	}
	recorder.Client.RetryMax, recorder.Client.RetryWaitMax = 1, time.Second // who waits is the only worker
	archives := reconcile.NewArchives(cmp.Or(f.artifactURL, "http://mesh-reconcile."+f.namespace+".svc"))
	// A replica that stands by has nothing to serve.
	if err := m.Add(&manager.Server{Name: "artifacts", Server: archives.Server(f.artifactAddress), OnlyServeWhenLeader: true}); err != nil {
		return errFailed{err}
	}
	r := &reconcile.Reconciler{
		Archives: archives,
		Client:   m.GetClient(), Reader: m.GetAPIReader(), Namespace: f.namespace, Store: contents, Root: root,
		Events: recorder, Metrics: observed, Durations: helper.NewMetrics(m, durations), Log: log,
	}
	if err := r.SetupWithManager(m); err != nil {
		return errFailed{err}
	}
	return serve(cmd.Context(), m)
}
