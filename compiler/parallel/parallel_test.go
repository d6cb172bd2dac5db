package parallel_test

import (
	"sync/atomic"
	"testing"

	"github.com/mesh-compile/mesh-compile/compiler/parallel"
)

func TestDo(t *testing.T) {
	for _, run := range []int{1, 16} {
		for _, n := range []int{0, 1, 15, 16, 1000} {
			called := make([]atomic.Int32, n)
			parallel.Do(n, run, func(i int) { called[i].Add(1) })
			for i := range called {
				if times := called[i].Load(); times != 1 {
					t.Errorf("of %d in runs of %d, %d was called %d times", n, run, i, times)
				}
			}
		}
	}
}

// TestPanic: it reaches the caller, wherever it was.
func TestPanic(t *testing.T) {
	p := parallel.Caught(func() {
		parallel.Do(100, 1, func(i int) {
			if i == 50 {
				panic("fifty")
			}
		})
	})
	if p == nil {
		t.Fatal("the caller goes on")
	}
	if inner, ok := p.Value.(*parallel.Panic); ok && inner.Value == "fifty" || p.Value == "fifty" {
		return
	}
	t.Errorf("the panic is %v", p.Value)
}
