package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

func (a *app) lint() *cobra.Command {
	var f compileFlags
	var format string
	c := &cobra.Command{
		Use:   "lint PATH",
		Short: "Check a policy repository and print what is wrong with it",
		Long: `lint loads, checks and analyzes a policy repository as a whole and prints the
findings on standard output: position, cause, a request that shows it, and the
fix. "mesh-compile explain CODE" prints the page of a finding.`,
		Example: `  mesh-compile lint policies
  mesh-compile lint git:HEAD:policies --format json
  kubectl kustomize overlays/prod | mesh-compile lint -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			failOn, err := f.failSeverity()
			if err != nil {
				return err
			}
			write, err := a.lintWriter(format)
			if err != nil {
				return err
			}
			c, err := a.compile(cmd.Context(), &f, args[0])
			if err != nil {
				return err
			}
			defer c.tree.Close()
			if err := write(c); err != nil {
				return err
			}
			a.summary(&f, c)
			return findings(c.Diagnostics, failOn)
		},
	}
	f.register(c)
	c.Flags().StringVar(&format, "format", "text", "output: text or json")
	return c
}

func (a *app) lintWriter(format string) (func(*compiled) error, error) {
	switch format {
	case "text":
		return func(c *compiled) error { return a.printDiagnostics(a.stdout, c) }, nil
	case "json":
		return func(c *compiled) error {
			return diag.WriteJSON(a.stdout, c.Diagnostics, len(c.Files.Documents), c.dir)
		}, nil
	}
	return nil, fmt.Errorf("--format %q: want text or json", format)
}

// summary ends a run on standard error with counts, so that silence is not taken
// for "nothing was read".
func (a *app) summary(f *compileFlags, c *compiled) {
	s := c.Diagnostics.Summarize(len(c.Files.Documents))
	if f.quiet {
		return
	}
	if f.verbose {
		for _, d := range c.Files.Foreign {
			fmt.Fprintf(a.stderr, "%s: not read: %s %s\n", d.Span, orNone(d.APIVersion), orNone(d.Kind))
		}
	}
	fmt.Fprintf(a.stderr, "%s read, %s not ours: %s, %s", count(s.Documents, "document"), plain(len(c.Files.Foreign)),
		count(s.Errors, "error"), count(s.Warnings, "warning"))
	if s.Waived > 0 {
		fmt.Fprintf(a.stderr, ", %d waived", s.Waived)
	}
	fmt.Fprintln(a.stderr)
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func plain(n int) string { return fmt.Sprint(n) }

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
