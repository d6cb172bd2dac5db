package main

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
)

func (a *app) lint() *cobra.Command {
	var f compileFlags
	var format string
	c := &cobra.Command{
		Use:   "lint PATH...",
		Short: "Check a policy repository and print what is wrong with it",
		Long: `lint loads, checks and analyzes a policy repository as a whole and prints the
findings on standard output: position, cause, a request that shows it, and the
fix. "mesh-compile explain CODE" prints the page of a finding. Several PATHs are
read as one repository.

--format json is for programs ("mesh-compile schema lint" describes it), sarif for
code scanning, github for annotations in a workflow, junit for test reports.`,
		Example: `  mesh-compile lint policies
  mesh-compile lint base overlays/prod
  mesh-compile lint git:HEAD:policies --format json
  kubectl kustomize overlays/prod | mesh-compile lint -`,
		Args: takes("PATH..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			failOn, err := f.failSeverity()
			if err != nil {
				return err
			}
			if err := oneOf("format", format, lintFormats...); err != nil {
				return err
			}
			c, err := a.compile(cmd.Context(), &f, args...)
			if err != nil {
				return err
			}
			defer c.tree.Close()
			if err := a.writeLint(c, format, failOn); err != nil {
				return err
			}
			a.summary(&f, c)
			return findings(c.Diagnostics, failOn)
		},
	}
	f.register(c)
	f.registerFindings(c)
	c.Flags().StringVar(&format, "format", "text", "output `FORMAT`: "+strings.Join(lintFormats, ", "))
	return c
}

var lintFormats = []string{"text", "json", "sarif", "github", "junit"}

func (a *app) writeLint(c *compiled, format string, failOn diag.Severity) error {
	switch format {
	case "json":
		return diag.WriteJSON(a.stdout, c.Diagnostics, c.GatewayAPIStatus(), len(c.Files.Documents), c.tree.Dir)
	case "sarif":
		return diag.WriteSARIF(a.stdout, c.Diagnostics, diag.SARIFOptions{
			Dir: fromHere(c.tree.Dir), Files: c.tree.FS, Pages: compiler.Pages(), Version: compiler.Version,
		})
	case "github":
		return diag.WriteGitHub(a.stdout, c.Diagnostics, fromHere(c.tree.Dir))
	case "junit":
		return diag.WriteJUnit(a.stdout, c.Diagnostics, failOn, c.tree.Dir)
	}
	return a.printDiagnostics(a.stdout, c)
}

// fromHere makes dir relative where it lies below the current directory, for
// readers that know the files by their place in the source repository.
func fromHere(dir string) string {
	here, err := filepath.Abs(".")
	if err != nil || !filepath.IsAbs(dir) {
		return dir
	}
	if rel, err := filepath.Rel(here, dir); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return dir
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
			at := d.Span
			at.File = path.Join(c.tree.Dir, at.File)
			fmt.Fprintf(a.stderr, "%s: not read: %s %s\n", at, orNone(d.APIVersion), orNone(d.Kind))
		}
	}
	fmt.Fprintf(a.stderr, "%s read, %d not ours: %s, %s", count(s.Documents, "document"), len(c.Files.Foreign),
		count(s.Errors, "error"), count(s.Warnings, "warning"))
	if s.Waived > 0 {
		fmt.Fprintf(a.stderr, ", %d waived", s.Waived)
	}
	fmt.Fprintln(a.stderr)
	if s.Documents == 0 {
		fmt.Fprintf(a.stderr, "nothing was checked: %s holds no documents that we read; -v names the others\n", c.tree.Name)
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
