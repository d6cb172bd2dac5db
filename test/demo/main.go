// Command demo runs the shop on this machine: seven services, an agent and an
// Envoy beside each, a controller over a git repository of policies. It makes
// claims about what the policies do, observes each on real traffic, prints the
// table, and exits with status 0 if and only if every claim held.
//
// Requests leave an application through its own sidecar and enter through the
// callee's. With KEEP=1 in the environment the shop stays up until interrupted.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// limit bounds the whole demonstration.
const limit = 4 * time.Minute

func run(ctx context.Context) (held bool, err error) {
	if !distinctLoopback {
		return false, fmt.Errorf("every instance of the shop has an address of its own in 127.0.0.0/8, which this system does not give to loopback; run the demo on Linux")
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := start(bounded)
	if s != nil {
		defer s.stop()
	}
	if err != nil {
		return false, err
	}
	t := s.claims(bounded)
	t.print(os.Stdout)
	if os.Getenv("KEEP") != "" {
		s.keep(ctx)
	}
	return t.held(), nil
}
