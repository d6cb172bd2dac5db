package main

import (
	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/reconcile"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

type reconcileFlags struct {
	common
	store, root string
}

func newReconcile() *cobra.Command {
	var f reconcileFlags
	c := &cobra.Command{
		Use:   "reconcile",
		Short: "Compile the policies of Flux sources into Releases, and follow how they spread",
		Long: `reconcile fetches what the PolicySync of its namespace names, compiles it, stores the
content and makes a Release. It has no key: nothing that it makes is live before the
sign role has signed it. Policies with an error never replace what is live.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := c.Flags()
	f.add(fs, true)
	fs.StringVar(&f.store, "store", "", "release store: file:///DIRECTORY or oci://HOST/REPOSITORY (required)")
	fs.StringVar(&f.root, "root", "", "root document `FILE` of the mesh (required)")
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
	r := &reconcile.Reconciler{
		Client: m.GetClient(), Reader: m.GetAPIReader(), Namespace: f.namespace, Store: contents, Root: root,
		Events: m.GetEventRecorder("mesh-reconcile"), Metrics: observed, Log: log,
	}
	if err := r.SetupWithManager(m); err != nil {
		return errFailed{err}
	}
	return serve(cmd.Context(), m)
}
