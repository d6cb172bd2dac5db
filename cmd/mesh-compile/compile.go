package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source/open"
)

// compileFlags are those of every command that compiles a PATH.
type compileFlags struct {
	namespace      string
	set            []string
	assumeExternal bool
	asOf           string
	failOn         string
	quiet          bool
	verbose        bool
}

func (f *compileFlags) register(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVarP(&f.namespace, "namespace", "n", "", "namespace `NAME` of objects that name none (default \"default\")")
	fs.StringArrayVar(&f.set, "set", nil, "`VAR=value` for a placeholder ${VAR} or $(VAR); may be repeated")
	fs.BoolVar(&f.assumeExternal, "assume-external", false, "take unknown services for ones that exist outside the repository")
	fs.StringVar(&f.asOf, "as-of", "", "judge waivers and expiries at this `TIME` (RFC 3339) instead of now")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no summary")
}

// registerFindings adds the flags of commands that report what they found.
func (f *compileFlags) registerFindings(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVar(&f.failOn, "fail-on", "error", "exit 1 on findings of this `SEVERITY` or above: info, warning, error, critical")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "also name the documents that are not read")
}

func (f *compileFlags) options() (compiler.Options, error) {
	opt := compiler.Options{Namespace: f.namespace, AssumeExternal: f.assumeExternal, AsOf: time.Now()}
	if f.asOf != "" {
		t, err := time.Parse(time.RFC3339, f.asOf)
		if err != nil {
			return opt, fmt.Errorf("--as-of %q: want a time such as 2026-11-27T00:00:00Z", f.asOf)
		}
		opt.AsOf = t
	}
	for _, s := range f.set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return opt, fmt.Errorf("--set %q: want VAR=value", s)
		}
		if opt.Set == nil {
			opt.Set = map[string]string{}
		}
		opt.Set[name] = value
	}
	return opt, nil
}

func (f *compileFlags) failSeverity() (diag.Severity, error) {
	s, err := diag.ParseSeverity(f.failOn)
	if err != nil {
		return 0, fmt.Errorf("--fail-on: %w", err)
	}
	return s, nil
}

// compiled is a PATH and what came of it.
type compiled struct {
	*compiler.Result
	tree *open.Tree
}

// compileWant is what a command wants of a compilation beyond the flags.
type compileWant struct {
	lintOnly    bool
	trustBundle string
}

// compile opens paths and checks them, without generating anything.
func (a *app) compile(ctx context.Context, f *compileFlags, paths ...string) (*compiled, error) {
	return a.compileWith(ctx, f, compileWant{lintOnly: true}, paths...)
}

// compileWith opens and compiles paths as one repository. The caller closes the
// tree.
func (a *app) compileWith(ctx context.Context, f *compileFlags, want compileWant, paths ...string) (*compiled, error) {
	opt, err := f.options()
	if err != nil {
		return nil, err
	}
	opt.LintOnly, opt.TrustBundle = want.lintOnly, want.trustBundle
	tree, err := open.Several(ctx, paths, a.stdin)
	if err != nil {
		return nil, err
	}
	progress := a.progress(f.quiet)
	opt.Stage = progress.stage
	result, err := interruptible(ctx, func() *compiler.Result {
		result, _ := compiler.Compile(tree.FS, opt)
		return result
	})
	return &compiled{Result: result, tree: tree}, err
}

// interruptible ends the wait for a compilation when the user does. CUE cannot be
// told to stop: the process ends with the command.
func interruptible(ctx context.Context, compile func() *compiler.Result) (*compiler.Result, error) {
	done := make(chan *compiler.Result, 1)
	go func() { done <- compile() }()
	select {
	case result := <-done:
		return result, nil
	case <-ctx.Done():
		return nil, errors.New("interrupted while compiling")
	}
}

// findings ends a command by its diagnostics.
func findings(l diag.List, failOn diag.Severity) error {
	if s, ok := l.Max(); ok && s >= failOn {
		return errFindings
	}
	return nil
}

// printDiagnostics writes findings as text.
func (a *app) printDiagnostics(w io.Writer, c *compiled) error {
	return diag.WriteText(w, c.Diagnostics, diag.TextOptions{Color: colors(w), Dir: c.tree.Dir})
}

// colors reports whether w wants them (https://no-color.org).
func colors(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress tells a person at a terminal which stage runs, once work takes long
// enough to be noticed.
type progress struct {
	w     io.Writer
	begun time.Time
	shown bool
}

const progressDelay = 500 * time.Millisecond

func (a *app) progress(quiet bool) *progress {
	if quiet || !isTerminal(a.stderr) {
		return &progress{}
	}
	return &progress{w: a.stderr, begun: time.Now()}
}

func (p *progress) stage(name string) {
	switch {
	case p.w == nil:
	case name == "" && p.shown:
		fmt.Fprint(p.w, "\r\x1b[K")
	case name != "" && time.Since(p.begun) > progressDelay:
		fmt.Fprintf(p.w, "\r\x1b[K%s ...", name)
		p.shown = true
	}
}
