// Command mesh-agent stands beside one Envoy, verifies the releases that it is
// given, and serves them. It is wiring: what it does is in package agent.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/agent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitFailed = 1 // the agent could not go on
	exitUsage  = 2
)

// errFailed is what the agent could not do, and not what the user wrote.
type errFailed struct{ error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := newCommand(stderr)
	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)
	err := command.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "mesh-agent: %v\n", err)
	if failed := (errFailed{}); errors.As(err, &failed) {
		return exitFailed
	}
	return exitUsage
}

// flags are what is written before it is read.
type flags struct {
	config    agent.Config
	bind, app []string
	logLevel  string
}

func newCommand(stderr io.Writer) *cobra.Command {
	f := &flags{}
	command := &cobra.Command{
		Use:   "mesh-agent --workload NAMESPACE/NAME --root FILE --state-dir DIR --envoy FILE",
		Short: "Verify signed releases beside an Envoy, and serve them to it",
		Long: `mesh-agent gets the workload's certificate, takes signed releases from a
controller, verifies them, keeps the last good one, and serves it to the Envoy
that it starts. It trusts the root document and nothing that a controller says.

Killed, it leaves Envoy serving, and the next mesh-agent with the same state
directory takes over. Ended by SIGTERM or SIGINT, it drains and ends Envoy.
Without --controller it runs from its state directory alone.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       agent.Version,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.parse(stderr); err != nil {
				return err
			}
			if err := agent.Run(cmd.Context(), f.config); err != nil {
				return errFailed{err}
			}
			return nil
		},
	}
	f.add(command)
	return command
}

func (f *flags) add(command *cobra.Command) {
	c, set := &f.config, command.Flags()
	set.StringVar(&c.Workload, "workload", "", "the workload, namespace/name")
	set.StringVar(&c.Instance, "instance", hostname(), "name of this proxy among those of the workload")
	set.StringVar(&c.Environment, "environment", "", "environment that releases must be for")
	set.StringVar(&c.Cluster, "cluster", "", "cluster that releases must be for")
	set.StringVar(&c.Locality, "locality", "", "where the proxy is, region/zone/subzone; by default what policy or the controller says")
	set.StringVar(&c.Controller, "controller", "", "host:port of the controller")
	set.StringVar(&c.ControllerName, "controller-name", "", "name in the controller's certificate (default: the host of --controller)")
	set.StringVar(&c.CA, "ca", "", "host:port of who issues certificates (default: --controller)")
	set.StringVar(&c.CAName, "ca-name", "", "name in the certificate of --ca (default: its host)")
	set.StringVar(&c.RootFile, "root", "", "root document (root.dsse.json), from where no controller can write")
	set.StringVar(&c.TokenFile, "token-file", "", "token that proves the workload where no certificate does: a join token, or one that is written anew before it expires")
	set.StringVar(&c.StateDir, "state-dir", "", "directory for the last good release, the key and the sockets (mode 0700)")
	set.StringVar(&c.CertificatesDir, "certificates", "", "directory with the certificates of gateways: NAME/tls.crt and NAME/tls.key, NAME/ca.crt")
	set.StringVar(&c.StatusAddress, "status-address", "127.0.0.1:15020", `host:port of /healthz, /readyz, /status and /metrics ("" is none)`)
	set.StringVar(&c.Envoy.Path, "envoy", "envoy", "the Envoy program")
	set.StringArrayVar(&c.Envoy.Args, "envoy-arg", nil, "further argument for Envoy (repeatable)")
	set.IntVar(&c.Envoy.Concurrency, "concurrency", 1, "Envoy's worker threads (0: one for each core)")
	set.StringVar(&c.Envoy.LogLevel, "envoy-log-level", "warning", "Envoy's log level")
	set.DurationVar(&c.Envoy.DrainTime, "drain-time", 0, "how long Envoy drains at the end (default 5s)")
	set.StringArrayVar(&f.bind, "bind-address", nil, "where listeners bind, IP or LISTENER=IP (repeatable)")
	set.StringArrayVar(&f.app, "app-address", nil, "where the application listens, IP or PORT=IP:PORT (repeatable; default 127.0.0.1)")
	set.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	for _, name := range []string{"workload", "root", "state-dir"} {
		if err := command.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is added above
		}
	}
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// parse makes the configuration of what was written.
func (f *flags) parse(stderr io.Writer) (err error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", f.logLevel)
	}
	f.config.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	if f.config.Bind, err = agent.ParseBind(f.bind); err != nil {
		return fmt.Errorf("--bind-address: %w", err)
	}
	if f.config.App, err = agent.ParseAppAddress(f.app); err != nil {
		return fmt.Errorf("--app-address: %w", err)
	}
	return nil
}
