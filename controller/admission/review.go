package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Operations of a Request, as the API server spells them.
const (
	Create = "CREATE"
	Update = "UPDATE"
	Delete = "DELETE"
)

// Request is a write to judge. Object is nil for a delete.
type Request struct {
	Operation                             string
	Group, Version, Kind, Namespace, Name string
	Object, Old                           *unstructured.Unstructured
	DryRun                                bool
}

// Verdict on a Request. Message says why it is refused, Warnings what the writer
// should know though it is admitted.
type Verdict struct {
	Allowed  bool
	Message  string
	Warnings []string
	Findings []Finding
}

// Options of New.
type Options struct {
	// Base returns the objects of the cluster, nil while they are not all read.
	Base func() *objects.Set
	Log  *slog.Logger
	// Timeout of one review; 5 s where zero. The API server waits 10 s by default.
	Timeout time.Duration
}

// Reviewer judges writes, several at a time.
type Reviewer struct {
	opt   Options
	base  base
	slots chan struct{} // compilations at a time; one that ran out of time keeps its slot
}

// ErrNotReady says that the objects of the cluster are not all read yet.
var ErrNotReady = errors.New("the objects of the cluster are not all read yet")

// New returns a Reviewer.
func New(opt Options) *Reviewer {
	if opt.Timeout == 0 {
		opt.Timeout = 5 * time.Second
	}
	return &Reviewer{opt: opt, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// Review judges a write. An error means that there is no verdict: the caller's
// failure policy decides.
func (r *Reviewer) Review(ctx context.Context, req Request) (Verdict, error) {
	if !compiled(req.Group, req.Kind) {
		return Verdict{Allowed: true}, nil
	}
	v, err := within(ctx, r, func() (Verdict, error) { return r.review(req) })
	if err != nil {
		return Verdict{}, fmt.Errorf("reviewing %s %s/%s: %w", req.Kind, req.Namespace, req.Name, err)
	}
	return v, nil
}

// All returns the findings of everything that is there, for audits.
func (r *Reviewer) All(ctx context.Context) ([]Finding, error) {
	found, err := within(ctx, r, func() ([]Finding, error) {
		set, result, err := r.base.current(r.opt.Base())
		if err != nil {
			return nil, err
		}
		return findings(set, result.Diagnostics), nil
	})
	if err != nil {
		return nil, fmt.Errorf("judging the objects of the cluster: %w", err)
	}
	return found, nil
}

func compiled(group, kind string) bool {
	return slices.ContainsFunc(objects.Kinds(), func(k objects.Kind) bool { return k.Group == group && k.Kind == kind })
}

func (r *Reviewer) review(req Request) (Verdict, error) {
	set, before, err := r.base.current(r.opt.Base())
	if err != nil {
		return Verdict{}, err
	}
	path := objects.Path(req.Group, req.Kind, req.Namespace, req.Name)
	if req.Operation == Delete {
		after, _ := compiler.Compile(set.Without(path), lintAfter(before))
		if !req.DryRun {
			r.base.forget(path)
		}
		return warn(introduced(before, after, set, path)), nil
	}
	data, err := objects.Render(req.Object)
	if err != nil {
		return Verdict{}, err
	}
	if old, ok := set.Get(path); ok && bytes.Equal(old, data) {
		return Verdict{Allowed: true}, nil // status, or metadata that the compiler does not read
	}
	changed := set.With(path, data)
	after, _ := compiler.Compile(changed, lintAfter(before))
	v := judge(introduced(before, after, changed, path))
	if v.Allowed && !req.DryRun {
		r.base.admit(path, data)
	}
	return v, nil
}

func lintAfter(previous *compiler.Result) compiler.Options {
	return compiler.Options{LintOnly: true, Previous: previous}
}

// within runs a compilation within the time of a review. Compile cannot be stopped:
// one that takes longer goes on in its slot, so that a hostile object costs slots
// and never more.
func within[T any](ctx context.Context, r *Reviewer, run func() (T, error)) (T, error) {
	var none T
	ctx, cancel := context.WithTimeout(ctx, r.opt.Timeout)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-r.slots }()
		defer func() {
			if p := recover(); p != nil {
				done <- outcome{err: fmt.Errorf("bug of the compiler: %v", p)}
			}
		}()
		value, err := run()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
