package standalone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/source/open"
)

// refusal is why a revision of the repository can not be live until it changes.
// Any other error is tried again.
type refusal struct {
	message     string
	diagnostics string // text, as lint prints it
}

func (r *refusal) Error() string { return r.message }

// update compiles what the repository is now and makes it live if it changed. A
// refusal leaves the release, its endpoints and the result to go on from as they
// are.
func (c *controller) update(ctx context.Context) {
	begun := time.Now()
	tree, err := c.policy.open(ctx)
	if err != nil {
		c.retry = true
		c.refuse("", err)
		return
	}
	if tree.Commit != "" && tree.Commit == c.tried {
		tree.Close()
		return // git: nothing but this commit decides, but for the passing of time
	}
	result, err := c.attempt(ctx, tree)
	if ctx.Err() != nil {
		return
	}
	var refused *refusal
	if c.retry = err != nil && !errors.As(err, &refused); !c.retry {
		c.tried = tree.Commit
	}
	if err != nil {
		c.refuse(tree.Commit, err)
		return
	}
	c.status.accept(tree.Commit, result.Diagnostics, time.Since(begun))
}

// attempt compiles a tree, closes it, and makes the result live.
func (c *controller) attempt(ctx context.Context, tree *open.Tree) (result *compiler.Result, err error) {
	if result, err = c.compileWithin(ctx, tree); err != nil {
		return nil, err
	}
	if result.Diagnostics.HasErrors() || result.Release == nil {
		return nil, &refusal{message: refusalMessage(result.Diagnostics), diagnostics: diagnosticsText(result.Diagnostics, c.policy.dir)}
	}
	return result, c.guard(func() error { return c.take(result, tree) })
}

// guard turns a panic into a refusal: a bug of the compiler must not end the
// delivery of the last release.
func (c *controller) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("the compiler panicked: this is a bug of mesh-compile", "panic", p, "stack", string(debug.Stack()))
			err = &refusal{message: fmt.Sprintf("the compiler panicked: %v", p)}
		}
	}()
	return f()
}

// maxAbandoned is how many compilations may go on that nobody waits for.
const maxAbandoned = 2

// compileWithin compiles a tree and closes it, within the time limit: policies
// are other people's, and CUE is a language in which they can compute for ever.
// What takes longer is refused. Nothing can end it, so it goes on beside, and a
// process with too many of those takes no more policies; everything else works.
func (c *controller) compileWithin(ctx context.Context, tree *open.Tree) (*compiler.Result, error) {
	if n := c.compiling.Load(); n > maxAbandoned {
		tree.Close()
		return nil, fmt.Errorf("%d compilations have not ended: restart the controller", n)
	}
	type outcome struct {
		result *compiler.Result
		err    error
	}
	done, opt := make(chan outcome, 1), c.options()
	c.compiling.Add(1)
	go func() {
		defer c.compiling.Add(-1)
		defer tree.Close()
		var o outcome
		o.err = c.guard(func() error {
			o.result, _ = compiler.Compile(tree.FS, opt)
			return nil
		})
		done <- o
	}()
	late := time.NewTimer(c.cfg.CompileTimeout)
	defer late.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-late.C:
		c.result = nil // what goes on may still write to it
		return nil, &refusal{message: fmt.Sprintf("the policies take longer than %s to compile: is there a loop in CUE, or are they very many?", c.cfg.CompileTimeout)}
	}
}

func (c *controller) options() compiler.Options {
	opt := c.cfg.Compile
	opt.AsOf = time.Now()
	opt.TrustBundle = string(c.keys.ca.RootPEM())
	opt.Previous = c.result
	return opt
}

// take makes a result live.
func (c *controller) take(result *compiler.Result, tree *open.Tree) error {
	settings := result.Mesh.Settings()
	if err := c.checkTrust(settings.TrustDomain, settings.TrustBundle); err != nil {
		return err
	}
	c.result = result
	if c.sameContent(result.Release) {
		return nil
	}
	return c.publish(result.Release, c.origin(tree.Commit, tree.TreeHash, countFindings(result.Diagnostics)))
}

// refuse records why the repository is not live and says what is instead.
func (c *controller) refuse(commit string, err error) {
	c.status.refuse(commit, err)
	what := "no release is live"
	if c.live != nil {
		what = fmt.Sprintf("release %d stays live", c.live.Doc.Sequence)
	}
	c.log.Error("the policies are refused, "+what, "commit", commit, "reason", err.Error())
	if r := (*refusal)(nil); errors.As(err, &r) {
		for i, line := range strings.Split(strings.TrimSpace(r.diagnostics), "\n") {
			if i == maxLogged {
				c.log.Error("... more: see the status, or run mesh-compile lint")
				break
			}
			if line != "" {
				c.log.Error(strings.TrimSpace(line))
			}
		}
	}
}

// maxLogged is how many lines of diagnostics go to the log.
const maxLogged = 50

func refusalMessage(l diag.List) string {
	n := l.Count(diag.Error) + l.Count(diag.Critical)
	if n == 1 {
		return "1 error in the policies"
	}
	return fmt.Sprintf("%d errors in the policies", n)
}

// maxDiagnostics bounds what is kept of them: the first are as good as all.
const maxDiagnostics = 256 << 10

func diagnosticsText(l diag.List, dir string) string {
	var b bytes.Buffer
	_ = diag.WriteText(&b, l, diag.TextOptions{Dir: dir}) // a buffer takes everything
	if b.Len() > maxDiagnostics {
		b.Truncate(maxDiagnostics)
		b.WriteString("\n... more: run mesh-compile lint\n")
	}
	return b.String()
}
