// Command mesh-compile checks, compiles and explains the policies of a service
// mesh. It is wiring: what the commands do is in compiler and controller.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitFindings = 1 // findings at or above --fail-on, a failed test, a refused release
	exitUsage    = 2 // usage or I/O
)

// errFindings ends a command whose output already says what is wrong.
var errFindings = errors.New("findings")

// app is what the commands share: the streams, so that nothing reaches for
// package-level state.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	began bool // the command line was understood, a command runs
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFindings):
		return exitFindings
	case !a.began:
		err = withUsage(cmd, err)
	}
	fmt.Fprintf(stderr, "mesh-compile: %v\n", err)
	return exitUsage
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mesh-compile",
		Short: "Compile mesh policies into signed Envoy configuration, and say what is unsafe in them",
		Long: `mesh-compile reads a repository of mesh policies (CUE and YAML), checks it as a
whole, and compiles it into a release: for every workload a slice of Envoy
configuration and an OPA bundle, signed once.

Where a command takes PATH it is a directory, a file, "-" for a YAML stream on
standard input, a git revision (git:main, git:HEAD~1:policies), or a tar archive.

Exit status: 0 clean, 1 findings, 2 usage or I/O.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	a.usage(root)
	root.AddCommand(
		a.lint(), a.build(), a.verify(), a.show(), a.explain(), a.test(),
		a.keygen(), a.push(), a.pull(), a.serve(), a.fleet(), a.wait(), a.render(), a.convert(), a.schema(), a.version(),
	)
	return root
}
