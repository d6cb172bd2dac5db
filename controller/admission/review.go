package admission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

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
	// Live asks the API server for one object, nil or an error where there is none. With
	// it, an object that was admitted and is not stored refuses no other: whoever reaches
	// the webhook's port can send a review of a write that nobody makes.
	Live func(context.Context, Ref) (*unstructured.Unstructured, error)
	Log  *slog.Logger
	// Timeout of one review; 5 s where zero. The API server waits 10 s by default.
	Timeout time.Duration
}

// Reviewer judges writes, several at a time.
type Reviewer struct {
	opt   Options
	base  base
	slots chan struct{} // compilations at a time; one that ran out of time keeps its slot
	turns chan struct{} // holds one
}

// ErrNotReady says that the objects of the cluster are not all read yet.
var ErrNotReady = errors.New("the objects of the cluster are not all read yet")

// New returns a Reviewer.
func New(opt Options) *Reviewer {
	if opt.Timeout == 0 {
		opt.Timeout = 5 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Reviewer{opt: opt, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), turns: make(chan struct{}, 1)}
}

// Review judges a write. An error means that there is no verdict: the caller's
// failure policy decides.
func (r *Reviewer) Review(ctx context.Context, req Request) (Verdict, error) {
	if _, compiled := objects.KindOf(req.Group, req.Kind); !compiled {
		return Verdict{Allowed: true}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.opt.Timeout)
	defer cancel()
	v, err := r.confirmed(ctx, req)
	if err != nil {
		return Verdict{}, fmt.Errorf("reviewing %s %s/%s: %w", req.Kind, req.Namespace, req.Name, err)
	}
	return v, nil
}

// All returns the findings of everything that is there, for audits.
func (r *Reviewer) All(ctx context.Context) ([]Finding, error) {
	found, err := within(ctx, r, func(context.Context) ([]Finding, error) {
		now, err := r.base.current(r.opt.Base(), true)
		if err != nil {
			return nil, err
		}
		return findings(now.set, now.result.Diagnostics), nil
	})
	if err != nil {
		return nil, fmt.Errorf("judging the objects of the cluster: %w", err)
	}
	return found, nil
}

// between is how long Follow leaves the processors to reviews: a burst of changes
// costs one compilation in each such time.
const between = 50 * time.Millisecond

// Follow compiles what the cluster holds when changed says that it became another,
// until ctx ends, so that the next review finds it. One that comes earlier waits for
// the same compilation.
func (r *Reviewer) Follow(ctx context.Context, changed <-chan struct{}) {
	for waiting := true; ; {
		if waiting {
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
		_, err := within(ctx, r, func(context.Context) (*state, error) { return r.base.current(r.opt.Base(), false) })
		waiting = !errors.Is(err, ErrNotReady) // it becomes ready without a change
		if err != nil && waiting && ctx.Err() == nil {
			r.opt.Log.Warn("compiling the objects of the cluster", "error", err)
		}
		select {
		case <-time.After(between):
		case <-ctx.Done():
			return
		}
	}
}

// within runs a compilation within the time of a review. Compile cannot be stopped:
// one that takes longer goes on in its slot, so that a hostile object costs slots
// and never more.
func within[T any](ctx context.Context, r *Reviewer, run func(context.Context) (T, error)) (T, error) {
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
				r.opt.Log.Error("bug of the compiler", "panic", p)
				what, _, _ := strings.Cut(fmt.Sprint(p), "\n") // the rest is its stack
				done <- outcome{err: fmt.Errorf("bug of the compiler: %s", what)}
			}
		}()
		value, err := run(ctx)
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
