package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/policytest"
	"github.com/mesh-compile/mesh-compile/test/envoytest"
	"github.com/mesh-compile/mesh-compile/test/meshtest"
)

type testFlags struct {
	compileFlags
	envoy, coverage bool
	format          string
}

func (a *app) test() *cobra.Command {
	var f testFlags
	c := &cobra.Command{
		Use:   "test PATH",
		Short: "Run the PolicyTests of a repository",
		Long: `test asks the evaluator every case of every PolicyTest in PATH and prints those
that do not hold, with the source line of the rule that decided. -v prints all.

--coverage lists the rules of routes and of access, and in how many cases each
decided.

--envoy also asks real Envoys, one beside each workload that a case is about, and
demands the answers of the evaluator. It runs $ENVOY, else .tools/bin/envoy of
this module, else envoy in PATH, on loopback addresses of this machine.`,
		Args: takes("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("format", f.format, "text", "json"); err != nil {
				return err
			}
			c, err := a.compile(cmd.Context(), &f.compileFlags, args[0])
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
			return a.runTests(cmd.Context(), &f, c, args[0])
		},
	}
	f.register(c)
	fs := c.Flags()
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "also print the cases that hold")
	fs.BoolVar(&f.coverage, "coverage", false, "also print which rules decided in how many cases")
	fs.BoolVar(&f.envoy, "envoy", false, "also demand the same answers of real Envoys")
	fs.StringVar(&f.format, "format", "text", "output `FORMAT`: text or json")
	return c
}

func (a *app) runTests(ctx context.Context, f *testFlags, c *compiled, path string) error {
	results := policytest.Run(c.Mesh)
	if len(results) == 0 {
		return fmt.Errorf("%s has no PolicyTest: nothing was tested; \"mesh-compile schema PolicyTest\" describes one", path)
	}
	var coverage *policytest.Coverage
	if f.coverage {
		coverage = policytest.Cover(c.Mesh, results, c.tree.Dir)
	}
	holds := !slices.ContainsFunc(results, func(r policytest.Result) bool { return !r.Passed() })
	var outcomes []meshtest.Outcome
	if f.envoy && holds {
		var err error
		if outcomes, err = askEnvoy(ctx, c); err != nil {
			return fmt.Errorf("--envoy: %w", err)
		}
	}
	var err error
	if f.format == "json" {
		err = a.reportTests(c, results, outcomes, coverage)
	} else {
		err = a.printTests(f, c, results, outcomes, coverage)
	}
	if err == nil && (!holds || slices.ContainsFunc(outcomes, differs)) {
		return errFindings
	}
	return err
}

// askEnvoy has real Envoys answer, too.
func askEnvoy(ctx context.Context, c *compiled) ([]meshtest.Outcome, error) {
	if _, err := envoytest.Find(); err != nil {
		return nil, err
	}
	return meshtest.RunPolicyTests(ctx, c.Mesh)
}

func differs(o meshtest.Outcome) bool { return len(o.Differences) > 0 }

func (a *app) reportTests(c *compiled, results []policytest.Result, outcomes []meshtest.Outcome, coverage *policytest.Coverage) error {
	report := policytest.NewReport(results, c.tree.Dir)
	report.Coverage = coverage
	for i := range outcomes {
		report.Cases[i].Differences = outcomes[i].Differences
	}
	return json.NewEncoder(a.stdout).Encode(report)
}

func (a *app) printTests(f *testFlags, c *compiled, results []policytest.Result, outcomes []meshtest.Outcome, coverage *policytest.Coverage) error {
	if err := policytest.Text(a.stdout, results, c.tree.Dir, f.verbose); err != nil {
		return err
	}
	if outcomes != nil {
		if err := a.printOutcomes(c, outcomes); err != nil {
			return err
		}
	}
	if coverage == nil {
		return nil
	}
	return coverage.Text(a.stdout)
}

// printOutcomes says where real Envoys do something else than the evaluator.
func (a *app) printOutcomes(c *compiled, outcomes []meshtest.Outcome) error {
	agreed := 0
	for i := range outcomes {
		o := &outcomes[i]
		if !differs(*o) {
			agreed++
		}
		for _, d := range o.Differences {
			if _, err := fmt.Fprintf(a.stdout, "%s: PolicyTest %s: %q: %s\n", o.Case.Span.Below(c.tree.Dir), o.Test.Object(), o.Case.Name, d); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(a.stdout, "Envoy agrees in %d of %d cases\n", agreed, len(outcomes))
	return err
}
