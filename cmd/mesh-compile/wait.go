package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/controller/fleet"
)

type waitFlags struct {
	fleetFlags
	goal    fleet.Goal
	timeout time.Duration
	quiet   bool
}

func (a *app) wait() *cobra.Command {
	var f waitFlags
	c := &cobra.Command{
		Use:   "wait --release SEQUENCE|REVISION|latest",
		Short: "Wait until every proxy runs a release",
		Long: `wait ends when every connected proxy, or each of the given workloads', runs the
release or a newer one. It ends at once, with exit status 1, where that will not be:
a proxy did not take the release, its rollout is halted, or the revision was refused;
the words of whoever refused are printed. It does so too when --timeout is over.

A pipeline that has just pushed names the revision, as the controller may not have
seen it yet: a commit (seven digits or more) or the whole of "main@sha1:COMMIT".`,
		Example: `  mesh-compile wait --release $(git rev-parse HEAD)
  mesh-compile wait --release 42 --workload shop/order --timeout 1m
  mesh-compile wait --release latest --server http://127.0.0.1:15014`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runWait(cmd.Context(), &f) },
	}
	f.register(c)
	fs := c.Flags()
	fs.StringVar(&f.goal.Release, "release", "", "sequence number, revision or commit, or latest (required)")
	fs.StringArrayVar(&f.goal.Workloads, "workload", nil, "only the proxies of workload `NS/NAME`, of which there must be one; may be repeated")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to wait")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
	_ = c.MarkFlagRequired("release")
	return c
}

func (a *app) runWait(ctx context.Context, f *waitFlags) error {
	ask, err := f.asks()
	if err != nil {
		return err
	}
	late := time.After(f.timeout)
	var v fleet.Verdict
	said := ""
	for {
		now, err := ask(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("waiting for release %s: interrupted", f.goal.Release)
		case err == nil:
			v = f.pin(now)
		default:
			v.Waiting = err.Error() // it may come (back)
		}
		switch {
		case v.Reached:
			fmt.Fprintf(a.stdout, "%s runs on %s\n", v.Release, fleet.Proxies(v.Running))
			return nil
		case len(v.Failed) > 0:
			return a.notReached(v.Failed...)
		}
		if line := v.Progress(); line != said && !f.quiet {
			fmt.Fprintln(a.stderr, line)
			said = line
		}
		select {
		case <-ctx.Done():
		case <-time.After(fleetEvery):
		case <-late:
			return a.notReached(fmt.Sprintf("not within %s: %s", f.timeout, v.Progress()))
		}
	}
}

// pin judges the goal; "latest" is the newest release when it was first seen.
func (f *waitFlags) pin(now fleet.Fleet) fleet.Verdict {
	v := now.Reached(f.goal)
	if f.goal.Release == fleet.Latest && v.Release.Sequence > 0 {
		f.goal.Release = fmt.Sprint(v.Release.Sequence)
	}
	return v
}

func (a *app) notReached(lines ...string) error {
	for _, line := range lines {
		fmt.Fprintln(a.stdout, line)
	}
	return errFindings
}
