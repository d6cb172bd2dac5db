package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/policytest"
)

func (a *app) test() *cobra.Command {
	var f compileFlags
	c := &cobra.Command{
		Use:   "test PATH",
		Short: "Run the PolicyTests of a repository",
		Long: `test asks the evaluator every case of every PolicyTest in PATH and prints those
that do not hold, with the source line of the rule that decided. -v prints all.`,
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
			return a.runTests(&f, c, args[0])
		},
	}
	f.register(c)
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "also print the cases that hold")
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
