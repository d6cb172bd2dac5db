// Command mesh-controller reconciles policies to the sidecars of a Kubernetes
// cluster. Each of its roles is a process of its own with rights of its own. It is
// wiring: what the roles do is in the packages below controller.
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

	"github.com/mesh-compile/mesh-compile/compiler"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses.
const (
	exitFailed = 1 // the role could not go on
	exitUsage  = 2
)

// errFailed is what a role could not do, and not what the user wrote.
type errFailed struct{ error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := newCommand()
	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)
	err := command.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "mesh-controller: %v\n", err)
	if failed := (errFailed{}); errors.As(err, &failed) {
		return exitFailed
	}
	return exitUsage
}

func newCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "mesh-controller ROLE",
		Short: "Reconcile policies to the sidecars of a Kubernetes cluster",
		Long: `mesh-controller runs one role of the control plane. Each role has its own
Deployment and service account, so that none has the rights of another.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       compiler.Version,
	}
	for _, role := range roles() {
		command.AddCommand(role)
	}
	return command
}

// roles in the order in which help lists them.
func roles() []*cobra.Command {
	return []*cobra.Command{newAdmit(), newDeliver(), newReconcile(), newSign(), newCA()}
}
