package admission_test

import (
	"fmt"
	"testing"

	"github.com/mesh-compile/mesh-compile/controller/admission"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// TestConflict: of writes that contradict each other, and come at the same moment, one
// is admitted.
func TestConflict(t *testing.T) {
	base := with(t, objects.NewSet(), object(t, workload))
	r := admission.New(admission.Options{Base: func() *objects.Set { return base }})
	oneOf(t, r, 8, func(admission.Request) {})
}

// oneOf has several routes of one service reviewed at the same moment, and wants one of
// them to be admitted, which is told.
func oneOf(t *testing.T, r *admission.Reviewer, writers int, admits func(admission.Request)) {
	t.Helper()
	admitted := make(chan bool, writers)
	for i := range writers {
		q := routed(t, fmt.Sprintf("catalog-%d", i))
		go func() {
			v, err := r.Review(t.Context(), q)
			ok := err == nil && v.Allowed
			if ok {
				admits(q)
			}
			admitted <- ok
		}()
	}
	n := 0
	for range writers {
		if <-admitted {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d routes of one service were admitted, want 1", n)
	}
}
