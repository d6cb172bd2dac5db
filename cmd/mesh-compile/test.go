package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/policytest"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

func (a *app) test() *cobra.Command {
	var f compileFlags
	var envoy bool
	c := &cobra.Command{
		Use:   "test PATH",
		Short: "Run the PolicyTests of a repository",
		Long: `test asks the evaluator every case of every PolicyTest in PATH and prints those
that do not hold, with the source line of the rule that decided. -v prints all.

--envoy also asks real Envoys, one beside each workload that a case is about, and
demands the answers of the evaluator. It runs $ENVOY, else .tools/bin/envoy of
this module, else envoy in PATH, on loopback addresses of this machine.`,
		Args: takes("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.compile(cmd.Context(), &f, args[0])
			if err != nil {
				return err
			}
			defer c.tree.Close()
			if c.Diagnostics.HasErrors() {
				if err := a.printDiagnostics(a.stdout, c); err != nil {
					return err
				}
				return errFindings
			}
			if err := a.runTests(&f, c, args[0]); err != nil || !envoy {
				return err
			}
			return a.askEnvoy(cmd.Context(), c)
		},
	}
	f.register(c)
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "also print the cases that hold")
	c.Flags().BoolVar(&envoy, "envoy", false, "also demand the same answers of real Envoys")
	return c
}

func (a *app) runTests(f *compileFlags, c *compiled, path string) error {
	results := policytest.Run(c.Mesh)
	if len(results) == 0 {
		return fmt.Errorf("%s has no PolicyTest: nothing was tested; \"mesh-compile schema PolicyTest\" describes one", path)
	}
	if err := policytest.Text(a.stdout, results, c.tree.Dir, f.verbose); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r policytest.Result) bool { return !r.Passed() }) {
		return errFindings
	}
	return nil
}

// askEnvoy compares what real Envoys do with what the evaluator says.
func (a *app) askEnvoy(ctx context.Context, c *compiled) error {
	if _, err := envoytest.Find(); err != nil {
		return fmt.Errorf("--envoy: %w", err)
	}
	outcomes, err := meshtest.RunPolicyTests(ctx, c.Mesh)
	if err != nil {
		return fmt.Errorf("--envoy: %w", err)
	}
	agreed := 0
	for i := range outcomes {
		o := &outcomes[i]
		if len(o.Differences) == 0 {
			agreed++
			continue
		}
		for _, d := range o.Differences {
			if _, err := fmt.Fprintf(a.stdout, "%s: PolicyTest %s: %q: %s\n", o.Case.Span.Below(c.tree.Dir), o.Test.Object(), o.Case.Name, d); err != nil {
				return err
			}
		}
	}
	if _, err := fmt.Fprintf(a.stdout, "Envoy agrees in %d of %d cases\n", agreed, len(outcomes)); err != nil {
		return err
	}
	if agreed < len(outcomes) {
		return errFindings
	}
	return nil
}
