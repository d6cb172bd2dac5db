package admission

import (
	"bytes"
	"context"
	"errors"

	"github.com/mesh-compile/mesh-compile/controller/objects"
)

var (
	// errBusy says that a write never had the objects for itself.
	errBusy = errors.New("other writes were admitted during each attempt to judge it: try again")
	// errDoubtful says that only an object nobody has seen in the cluster refuses a write.
	errDoubtful = errors.New("an object that was admitted a moment ago refuses it")
)

// optimistic is how often a write is judged beside others before it takes a turn.
const optimistic = 2

// asked is how often the API server is asked for what refuses a write.
const asked = 2

// write is a Request on its way to a verdict.
type write struct {
	Request
	ref       Ref
	path      string
	data      []byte // nil for a delete
	confirmed bool   // it is judged over what is surely there
}

// confirmed judges a write; what refuses it is there.
func (r *Reviewer) confirmed(ctx context.Context, req Request) (Verdict, error) {
	for n := 0; ; n++ {
		v, err := within(ctx, r, func(ctx context.Context) (Verdict, error) { return r.review(ctx, req, n == asked) })
		if !errors.Is(err, errDoubtful) {
			return v, err
		}
		r.base.confirm(ctx, r.opt.Live)
	}
}

// review judges a write until no other was admitted meanwhile: of two that contradict
// each other, the one that comes second is refused.
func (r *Reviewer) review(ctx context.Context, req Request, confirmed bool) (Verdict, error) {
	w := &write{Request: req, ref: Ref{req.Group, req.Version, req.Kind, req.Namespace, req.Name}, confirmed: confirmed}
	w.path = w.ref.path()
	if req.Operation != Delete {
		var err error
		if w.data, err = objects.Render(req.Object); err != nil {
			return Verdict{}, err
		}
	}
	var t *turn
	for n := range optimistic + 1 {
		if t == nil && (n == optimistic || r.base.taken()) {
			var err error
			if t, err = r.base.take(ctx, r.turns); err != nil {
				return Verdict{}, err
			}
			defer t.end()
		}
		if err := ctx.Err(); err != nil {
			return Verdict{}, err
		}
		if v, alone, err := r.attempt(w, t); alone || err != nil {
			return v, err
		}
	}
	return Verdict{}, errBusy
}

// attempt reports whether the verdict is of what is there now.
func (r *Reviewer) attempt(w *write, t *turn) (v Verdict, alone bool, err error) {
	since := r.base.admissions()
	cluster := r.opt.Base()
	before, err := r.base.current(cluster, w.confirmed)
	if err != nil {
		return Verdict{}, false, err
	}
	if w.data == nil {
		return r.delete(w, before), true, nil
	}
	if old, ok := before.set.Get(w.path); ok && bytes.Equal(old, w.data) {
		return Verdict{Allowed: true}, true, nil // status, or metadata that the compiler does not read
	}
	after := before.with(&r.base, before.set.With(w.path, w.data))
	v = judge(introduced(before.result, after.result, after.set, w.path))
	if !v.Allowed {
		v, err = r.refused(w, v, before, cluster)
		return v, true, err
	}
	means := !after.result.SaysAs(before.result)
	return v, w.DryRun || r.base.admit(w, after, means, since, t), nil
}

func (r *Reviewer) delete(w *write, before *state) Verdict {
	after := before.with(&r.base, before.set.Without(w.path))
	if !w.DryRun {
		r.base.forget(w.path, after)
	}
	return warn(introduced(before.result, after.result, before.set, w.path))
}

// refused judges what was refused again, over what is surely in the cluster.
func (r *Reviewer) refused(w *write, v Verdict, before *state, cluster *objects.Set) (Verdict, error) {
	if r.opt.Live == nil || w.confirmed {
		return v, nil
	}
	sure, err := r.base.current(cluster, true)
	if err != nil || sure == before {
		return v, err
	}
	after := sure.with(&r.base, sure.set.With(w.path, w.data))
	v = judge(introduced(sure.result, after.result, after.set, w.path))
	if v.Allowed {
		return v, errDoubtful
	}
	return v, nil
}
