package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/quarantine"
)

// compile makes a release of the sources, within the time limit. CUE can compute
// for ever and nothing can end it: what takes longer is given up and goes on
// beside, and nothing else is compiled until it has ended.
func (r *Reconciler) compile(ctx context.Context, a *attempt) error {
	select {
	case r.compiling <- struct{}{}:
	default:
		return retry(v1alpha1.ReasonCompileFailed, fmt.Errorf("an earlier compilation has not ended: is there a loop in CUE?"))
	}
	type outcome struct {
		result  *compiler.Result
		settled *quarantine.Outcome
		err     error
	}
	done, opt := make(chan outcome, 1), r.options(a)
	begun := time.Now()
	go func() {
		defer func() { <-r.compiling }()
		var o outcome
		o.result, o.err = guarded(func() (result *compiler.Result, _ error) { result, o.settled = a.compiled(opt); return result, nil })
		done <- o
	}()
	select {
	case o := <-done:
		r.Metrics.compiled(time.Since(begun))
		a.settled = o.settled
		return r.judge(a, o.result, o.err)
	case <-ctx.Done():
		r.setPrevious(nil) // what goes on may still write to it
		return stall(v1alpha1.ReasonCompileFailed, fmt.Errorf("the policies take longer to compile than the timeout of the PolicySync: %w", ctx.Err()))
	}
}

// guarded turns a panic into an error: a bug of the compiler must not end the role.
func guarded[T any](f func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the compiler panicked, which is a bug of mesh-compile: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

func (r *Reconciler) options(a *attempt) compiler.Options {
	r.mu.Lock()
	defer r.mu.Unlock()
	return compiler.Options{
		Namespace: string(a.sync.Spec.Namespace), Set: a.sync.Spec.Set, AsOf: time.Now(),
		TrustBundle: strings.Join(r.Root.Document().ServerRoots, ""), Previous: r.previous,
	}
}

func (r *Reconciler) setPrevious(result *compiler.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.previous = result
}

// judge takes a result, or says with the first findings why not.
func (r *Reconciler) judge(a *attempt, result *compiler.Result, err error) error {
	if err != nil {
		return stall(v1alpha1.ReasonCompileFailed, err)
	}
	summary, told := summarize(result.Diagnostics), a.sync.Status.Diagnostics
	a.sync.Status.Diagnostics = summary
	r.Metrics.found(summary)
	if summary.Errors == 0 && result.Release != nil {
		r.setPrevious(result)
		a.result = result
		return nil
	}
	first := ""
	if len(summary.First) > 0 {
		first = summary.First[0]
	}
	for _, text := range summary.First {
		if told != nil && slices.Contains(told.First, text) {
			continue
		}
		r.event(a.sync, corev1.EventTypeWarning, v1alpha1.ReasonPoliciesRefused, text)
	}
	why := fmt.Errorf("%s: %d errors, the first: %s", bounded(a.revision, 200), summary.Errors, first)
	if a.settled != nil && a.settled.Refused != nil {
		why = fmt.Errorf("%w; nothing can be quarantined instead: %w", why, a.settled.Refused)
	}
	return stall(v1alpha1.ReasonPoliciesRefused, why)
}

// How much of the findings is kept in the status.
const maxFirst, maxFinding = 5, 1 << 10

// summarize counts findings, and prints the first errors as lint does.
func summarize(found diag.List) *v1alpha1.DiagnosticsSummary {
	out := &v1alpha1.DiagnosticsSummary{}
	for i := range found {
		d := &found[i]
		switch {
		case d.Waived:
			out.Waived++
			continue
		case d.Severity >= diag.Error:
			out.Errors++
		case d.Severity == diag.Warning:
			out.Warnings++
			continue
		default:
			continue
		}
		if len(out.First) < maxFirst {
			out.First = append(out.First, bounded(text(found[i:i+1]), maxFinding))
		}
	}
	return out
}

func text(one diag.List) string {
	var b bytes.Buffer
	_ = diag.WriteText(&b, one, diag.TextOptions{}) // a buffer takes everything
	return strings.TrimSpace(b.String())
}
