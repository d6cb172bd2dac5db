package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/signer"
	"github.com/mesh-compile/mesh-compile/controller/signing"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

type signFlags struct {
	common
	store, root, key, stateDir, trustBundle string
}

func newSign() *cobra.Command {
	var f signFlags
	c := &cobra.Command{
		Use:   "sign",
		Short: "Sign the Releases that were compiled in this cluster",
		Long: `sign signs each new Release, and the live one again before its signature ends. It
alone has the release key: who controls this role can sign any policy.

A release is held to the root document's trust domain. Its X.509 roots must be among
those of --trust-bundle, so that no other role can add one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := c.Flags()
	f.add(fs, true)
	fs.StringVar(&f.store, "store", "", "release store: file:///DIRECTORY or oci://HOST/REPOSITORY (required)")
	fs.StringVar(&f.root, "root", "", "root document `FILE` of the mesh (required)")
	fs.StringVar(&f.key, "key", "", "release key `FILE` (required)")
	fs.StringVar(&f.stateDir, "state-dir", "", "directory that keeps the last sequence number (required)")
	fs.StringVar(&f.trustBundle, "trust-bundle", "", "PEM `FILE` of the X.509 roots that releases may have (default: serverRoots of the root document)")
	for _, name := range []string{"store", "root", "key", "state-dir"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

func (f *signFlags) run(cmd *cobra.Command) error {
	s, limits, err := f.keys()
	if err != nil {
		return err
	}
	contents, err := store.Open(f.store)
	if err != nil {
		return err
	}
	m, log, err := f.manager("sign", func(o *ctrl.Options) {
		o.Cache.DefaultNamespaces = map[string]cache.Config{f.namespace: {}}
	})
	if err != nil {
		return err
	}
	observed := signing.NewMetrics()
	if err := metrics.Registry.Register(observed); err != nil {
		return errFailed{err}
	}
	defer metrics.Registry.Unregister(observed)
	r := &signing.Reconciler{
		Client: m.GetClient(), Reader: m.GetAPIReader(), Namespace: f.namespace,
		Store: contents, Signer: s, Limits: limits, Events: m.GetEventRecorder("mesh-sign"), Metrics: observed, Log: log,
	}
	if err := r.SetupWithManager(m); err != nil {
		return errFailed{err}
	}
	return serve(cmd.Context(), m)
}

// keys reads what this role signs with.
func (f *signFlags) keys() (*signer.Signer, signing.Limits, error) {
	var limits signing.Limits
	root, err := readRoot(f.root)
	if err != nil {
		return nil, limits, err
	}
	doc := root.Document()
	limits.TrustDomain = doc.TrustDomain
	var bundle []byte
	for _, text := range doc.ServerRoots {
		bundle = append(bundle, text...)
	}
	if f.trustBundle != "" {
		if bundle, err = os.ReadFile(f.trustBundle); err != nil {
			return nil, limits, fmt.Errorf("reading --trust-bundle: %w", err)
		}
	}
	if len(bundle) > 0 {
		if limits.Roots, err = signing.Certificates(bundle); err != nil {
			return nil, limits, fmt.Errorf("reading the X.509 roots that releases may have: %w", err)
		}
	}
	key, err := sign.LoadPrivateKey(f.key, "release")
	if err != nil {
		return nil, limits, err
	}
	s, err := signer.New(root, key, filepath.Join(f.stateDir, "sequence.json"))
	return s, limits, err
}

// readRoot reads the root document, which is trusted for where it is.
func readRoot(name string) (*sign.TrustedRoot, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the root document: %w", err)
	}
	root, err := sign.OpenRoot(data)
	if err != nil {
		return nil, fmt.Errorf("reading root document %s: %w", name, err)
	}
	return root, nil
}
