package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/mesh-compile/mesh-compile/controller/fleet"
	"github.com/mesh-compile/mesh-compile/controller/fleet/cluster"
)

// fleetFlags say whom to ask about proxies.
type fleetFlags struct {
	kubeconfig, context, namespace string
	server                         string
}

func (f *fleetFlags) register(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` (default: $KUBECONFIG, else as kubectl)")
	fs.StringVar(&f.context, "context", "", "context `NAME` of the kubeconfig")
	fs.StringVarP(&f.namespace, "namespace", "n", "mesh-system", "namespace `NAME` of the control plane")
	fs.StringVar(&f.server, "server", "", "`URL` of the status of \"mesh-compile serve\", instead of Kubernetes")
	c.MarkFlagsMutuallyExclusive("server", "kubeconfig")
	c.MarkFlagsMutuallyExclusive("server", "context")
}

// asks returns how the fleet is asked for, again and again.
func (f *fleetFlags) asks() (func(context.Context) (fleet.Fleet, error), error) {
	if f.server != "" {
		return func(ctx context.Context) (fleet.Fleet, error) { return fleet.Get(ctx, f.server) }, nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: f.context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the API server: %w; without Kubernetes, give --server http://127.0.0.1:15014", err)
	}
	reader, err := cluster.NewReader(config, f.namespace)
	if err != nil {
		return nil, err
	}
	return reader.Fleet, nil
}

type fleetCommand struct {
	fleetFlags
	format, failOn string
	watch, quiet   bool
}

func (a *app) fleet() *cobra.Command {
	var f fleetCommand
	c := &cobra.Command{
		Use:   "fleet",
		Short: "Print which release every proxy runs, and what keeps it from the newest",
		Long: `fleet prints a row for each proxy: the release that its Envoy runs and for how
long, whether it took the newest one (ACK), Envoy did not (NACK) or the agent did not
(refused), and whether what runs has drifted from what was verified. Envoy's words
and the drift stand below the table. It asks the API server, or with --server the
status of "mesh-compile serve".

The exit status is 1 where a proxy is as --fail-on says: failed (NACK or refused),
drift (that, or drifted), behind (that, or on an earlier release), never.
"mesh-compile schema fleet" describes --format json.`,
		Example: `  mesh-compile fleet
  mesh-compile fleet --server http://127.0.0.1:15014 --format json
  mesh-compile fleet --watch`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runFleet(cmd.Context(), &f) },
	}
	f.register(c)
	fs := c.Flags()
	fs.StringVar(&f.format, "format", "text", "output `FORMAT`: text or json")
	fs.StringVar(&f.failOn, "fail-on", "drift", "exit 1 on proxies of this `KIND`: failed, drift, behind or never")
	fs.BoolVarP(&f.watch, "watch", "w", false, "print again whenever something changes")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no summary")
	return c
}

func (a *app) runFleet(ctx context.Context, f *fleetCommand) error {
	if err := errors.Join(oneOf("format", f.format, "text", "json"), oneOf("fail-on", f.failOn, "failed", "drift", "behind", "never")); err != nil {
		return err
	}
	ask, err := f.asks()
	if err != nil {
		return err
	}
	if f.watch {
		return a.watchFleet(ctx, f, ask)
	}
	now, err := ask(ctx)
	if err != nil {
		return err
	}
	if err := f.write(a.stdout, now); err != nil {
		return err
	}
	if !f.quiet {
		fmt.Fprintln(a.stderr, now.Summary())
	}
	if f.fails(now.Count()) {
		return errFindings
	}
	return nil
}

func (f *fleetCommand) write(w io.Writer, now fleet.Fleet) error {
	if f.format == "json" {
		return now.WriteJSON(w)
	}
	return now.WriteTable(w)
}

func (f *fleetCommand) fails(c fleet.Counts) bool {
	switch f.failOn {
	case "failed":
		return c.Failed > 0
	case "drift":
		return c.Failed+c.Drifted > 0
	case "behind":
		return c.Failed+c.Drifted+c.Behind > 0
	}
	return false
}

// fleetEvery is how often the fleet is asked for.
const fleetEvery = time.Second

// watchFleet prints until it is interrupted.
func (a *app) watchFleet(ctx context.Context, f *fleetCommand, ask func(context.Context) (fleet.Fleet, error)) error {
	var last []byte
	for {
		now, err := ask(ctx)
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(a.stderr, err) // the controller may come back
		}
		if err == nil {
			if last, err = a.writeChanged(f, now, last); err != nil {
				return err
			}
		}
		if !pause(ctx, fleetEvery) {
			return nil
		}
	}
}

// writeChanged prints a fleet that is not as it was. Ages alone are no change.
func (a *app) writeChanged(f *fleetCommand, now fleet.Fleet, last []byte) ([]byte, error) {
	still := now
	still.At = time.Time{}
	var text bytes.Buffer
	if err := still.WriteJSON(&text); err != nil || bytes.Equal(text.Bytes(), last) {
		return last, err
	}
	fmt.Fprintf(a.stderr, "%s %s\n", now.At.Format(time.TimeOnly), now.Summary())
	return text.Bytes(), f.write(a.stdout, now)
}

// pause waits; it reports false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
