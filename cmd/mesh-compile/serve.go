package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/controller/standalone"
)

type serveFlags struct {
	compileFlags
	config standalone.Config
}

func (a *app) serve() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve PATH --state-dir DIR",
		Short: "Compile a directory or git branch as it changes, and deliver it to agents",
		Long: `serve is the controller in one process: it watches PATH (a directory, a file, or
git:BRANCH of the repository around the current directory), compiles each change,
signs it, delivers releases to the agents that connect, issues their certificates
and serves endpoints. A change that does not compile leaves the last release live.

Without keys in --keys it makes them, below --state-dir. Agents need its
root.dsse.json, and a join token each, once: "serve token".`,
		Example: `  mesh-compile serve policies --state-dir state
  mesh-compile serve token --state-dir state --workload shop/order > order.token`,
		Args: takes("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runServe(cmd, &f, args[0]) },
	}
	fs := c.Flags()
	fs.StringVarP(&f.namespace, "namespace", "n", "", `namespace of objects that name none (default "default")`)
	fs.StringArrayVar(&f.set, "set", nil, "`VAR=value` for a placeholder ${VAR} or $(VAR); may be repeated")
	fs.BoolVar(&f.assumeExternal, "assume-external", false, "take unknown services for ones that exist outside the repository")
	fs.StringVar(&f.config.StateDir, "state-dir", "", "directory for releases, sequence number and join tokens (required)")
	fs.StringVar(&f.config.KeysDir, "keys", "", "directory that keygen wrote (default: keys in the state directory, made if missing)")
	fs.StringVar(&f.config.MeshID, "mesh", "", `id of the mesh, for keys that are made (default "mesh")`)
	fs.StringVar(&f.config.Listen, "listen", standalone.DefaultListen, "address for agents")
	fs.StringVar(&f.config.ListenStatus, "status-address", standalone.DefaultListenStatus, "address of /healthz, /readyz, /status and /metrics")
	fs.StringArrayVar(&f.config.ServerNames, "server-name", nil, "further DNS name or address in the server's certificate; may be repeated")
	fs.StringVar(&f.config.Environment, "environment", "", "environment that releases are for")
	fs.StringArrayVar(&f.config.Clusters, "cluster", nil, "cluster that releases are for; may be repeated")
	fs.DurationVar(&f.config.ReleaseValidity, "validity", standalone.DefaultReleaseValidity, "how long agents may accept a release")
	fs.StringVar(&f.config.JoinTokens, "join-tokens", "", "keep a usable join token for every workload in this `DIR`: for one machine, whoever reads it can be any workload")
	_ = c.MarkFlagRequired("state-dir")
	c.AddCommand(a.serveToken())
	return c
}

func (a *app) runServe(cmd *cobra.Command, f *serveFlags, path string) error {
	opt, err := f.options()
	if err != nil {
		return err
	}
	f.config.Path, f.config.Compile = path, opt
	f.config.Log = slog.New(slog.NewTextHandler(a.stderr, nil))
	f.config.Ready = func(at standalone.Addresses) {
		fmt.Fprintf(a.stdout, "agents connect to %s, status is on http://%s/status\n", at.Delivery, at.Status)
	}
	return standalone.Run(cmd.Context(), f.config)
}

func (a *app) serveToken() *cobra.Command {
	var r standalone.TokenRequest
	c := &cobra.Command{
		Use:   "token --state-dir DIR --workload NS/NAME",
		Short: "Make a one-time join token for an agent",
		Args:  takes(),
		RunE: func(*cobra.Command, []string) error {
			token, id, err := standalone.CreateToken(r)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, token)
			fmt.Fprintf(a.stderr, "for %s, once, within %s\n", id, r.TTL)
			return nil
		},
	}
	fs := c.Flags()
	fs.StringVar(&r.StateDir, "state-dir", "", "state directory of the controller (required)")
	fs.StringVar(&r.KeysDir, "keys", "", "keys directory, where it is not in the state directory")
	fs.StringVar(&r.Workload, "workload", "", "`NS/NAME` of a workload of the live release")
	fs.StringVar(&r.Identity, "identity", "", "`NS/SERVICEACCOUNT` or SPIFFE ID, instead of a workload")
	fs.DurationVar(&r.TTL, "ttl", standalone.DefaultTokenTTL, "how long the token can be used")
	_ = c.MarkFlagRequired("state-dir")
	return c
}
