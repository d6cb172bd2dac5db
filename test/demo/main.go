// Command demo runs the shop on this machine: seven services, an agent and an Envoy beside each, a
// controller over a git repository of policies. It makes claims about what the policies do,
// observes each on real traffic, prints the table, and exits with status 0 if and only if every
// claim held.
//
// Requests leave an application through its own sidecar and enter through the callee's. With KEEP=1
// in the environment the shop stays up until interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mesh-compile/mesh-compile/test/localmesh"
	"github.com/mesh-compile/mesh-compile/test/processes"
	"github.com/mesh-compile/mesh-compile/test/tools"
)

func main() {
	c := config{keep: os.Getenv("KEEP") != "", out: os.Stdout}
	flag.StringVar(&c.network, "network", localmesh.PolicyNetwork, "first three bytes of the loopback addresses that are used")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	held, err := run(ctx, c)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	case !held:
		os.Exit(1)
	}
}

type config struct {
	network string
	keep    bool
	out     io.Writer
}

// limit bounds the whole demonstration.
const limit = 4 * time.Minute

// run says whether every claim held. What it started has ended when it returns.
func run(ctx context.Context, c config) (held bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	progress := &progress{out: c.out}
	defer progress.end()
	progress.begin("building mesh-compile, mesh-agent and the shop")
	group, err := processes.Open(bounded, localmesh.Programs...)
	if err != nil {
		return false, err
	}
	// Who looks into a claim that failed wants the logs.
	defer func() { err = errors.Join(err, group.Close(!held && ctx.Err() == nil)) }()

	s, err := start(bounded, group, c, progress.begin)
	if err == nil {
		progress.end()
		held = s.claims(bounded, newTable(bounded, c.out))
	}
	switch {
	case ctx.Err() != nil:
		return false, errors.New("interrupted")
	case bounded.Err() != nil:
		err = errors.Join(fmt.Errorf("it took longer than %s", limit), err)
	}
	if !held {
		fmt.Fprintf(c.out, "the logs are in %s\n", filepath.Join(group.Dir, name))
	}
	if err == nil && c.keep {
		err = s.keep(ctx, c.out)
	}
	return held, err
}

// name is that of the mesh's directory.
const name = "shop"

// shop is the mesh of the demo.
type shop struct {
	*localmesh.Mesh
	group *processes.Group
}

func start(ctx context.Context, group *processes.Group, c config, step func(string)) (*shop, error) {
	root, err := tools.ModuleRoot()
	if err != nil {
		return nil, err
	}
	m, err := localmesh.New(ctx, group, localmesh.Options{
		Name: name, Policies: filepath.Join(root, "testdata", "repos", "shop"), Network: c.network, Step: step,
		Instances: []localmesh.Instance{
			{Workload: "customer", Service: "customer", Version: "v1", Host: 11},
			{Workload: "catalog-v1", Service: "catalog", Version: "v1", Host: 12},
			{Workload: "catalog-v2", Service: "catalog", Version: "v2", Host: 13},
			{Workload: "order", Service: "order", Version: "v1", Host: 14},
			{Workload: "inventory", Service: "inventory", Version: "v1", Host: 15},
			{Workload: "payment", Service: "payment", Version: "v1", Host: 16},
			{Workload: "shipping", Service: "shipping", Version: "v1", Host: 17},
		},
	})
	if err != nil {
		return nil, err
	}
	return &shop{m, group}, m.Start(ctx)
}

// keep leaves the shop up until the user has seen enough.
func (s *shop) keep(ctx context.Context, out io.Writer) error {
	// The claims ended with a commit that is refused, and without the controller.
	if err := errors.Join(s.Revert(ctx), s.StartController(ctx)); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe shop stays up; Ctrl-C ends it.\n"+
		"  policies    %s (git; commit a change and it is live)\n"+
		"  controller  %s/status\n", s.Policies(), s.ControllerURL())
	for _, i := range s.Instances() {
		fmt.Fprintf(out, "  %-11s %s/status, its Envoy on %s:8080\n", i.Workload, i.AgentURL(), i.Sidecar())
	}
	fmt.Fprintf(out, "  as the customer: curl -x %s http://catalog:8080/items\n", s.Instance("customer").Proxy())
	<-ctx.Done()
	fmt.Fprintln(out, "\nthe shop closes")
	return nil
}
