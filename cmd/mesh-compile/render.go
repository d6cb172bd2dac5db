package main

import (
	"context"
	"fmt"
	"path"

	"github.com/spf13/cobra"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/render"
)

func (a *app) render() *cobra.Command {
	var f compileFlags
	c := &cobra.Command{
		Use:   "render PATH...",
		Short: "Print the documents of a policy repository as one YAML stream, for an API server",
		Long: `render lints and then prints every document on standard output: CUE evaluated,
placeholders filled in, each with its namespace and, in the annotation
mesh-compile.dev/source, its file and line. Objects of other API groups come
through. Where lint finds something at or above --fail-on, nothing is printed but
the findings, on standard error. What is not said on standard output is a manifest,
so that it can be the plugin of a GitOps tool.`,
		Example: `  mesh-compile render policies | kubectl apply --server-side -f -
  mesh-compile render base overlays/prod --set TAG=v2`,
		Args: takes("PATH..."),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRender(cmd.Context(), &f, args) },
	}
	f.register(c)
	f.registerFindings(c)
	return c
}

func (a *app) runRender(ctx context.Context, f *compileFlags, paths []string) error {
	failOn, err := f.failSeverity()
	if err != nil {
		return err
	}
	c, err := a.compile(ctx, f, paths...)
	if err != nil {
		return err
	}
	defer c.tree.Close()
	if err := a.printDiagnostics(a.stderr, c); err != nil {
		return err
	}
	if err := findings(c.Diagnostics, min(failOn, diag.Error)); err != nil {
		a.summary(f, c)
		fmt.Fprintln(a.stderr, "nothing was rendered")
		return err
	}
	opt, err := f.options()
	if err != nil {
		return err
	}
	docs, left, diags := render.Load(c.tree.FS, render.Options{Namespace: opt.Namespace, Set: opt.Set})
	// What lint does not read may be broken too.
	if broken := findings(diags, diag.Error); broken != nil {
		if err := diag.WriteText(a.stderr, diags, diag.TextOptions{Color: colors(a.stderr), Dir: c.tree.Dir}); err != nil {
			return err
		}
		return broken
	}
	text, err := render.Text(docs)
	if err != nil {
		return err
	}
	if _, err := a.stdout.Write(text); err != nil {
		return err
	}
	for _, l := range left {
		l.Span.File = path.Join(c.tree.Dir, l.Span.File)
		fmt.Fprintf(a.stderr, "%s: not rendered: it is no object of Kubernetes\n", l.Span)
	}
	return nil
}
