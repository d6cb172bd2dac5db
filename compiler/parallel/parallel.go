// Package parallel calls a function for many values on all processors.
//
// A panic of one call comes out as a panic of the caller, who may recover: in a
// goroutine of its own it would end the process.
package parallel

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Panic is the value of a panic in another goroutine, and where it was.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// Do calls f for 0..n-1, in runs of neighbours that one goroutine takes at a time.
func Do(n, run int, f func(int)) {
	workers := min((n+run-1)/run, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	var broke atomic.Pointer[Panic]
	for range workers {
		wg.Go(func() {
			if p := Caught(func() {
				for start := int(next.Add(int64(run))) - run; start < n && broke.Load() == nil; start = int(next.Add(int64(run))) - run {
					for i := start; i < min(start+run, n); i++ {
						f(i)
					}
				}
			}); p != nil {
				broke.CompareAndSwap(nil, p)
			}
		})
	}
	wg.Wait()
	if p := broke.Load(); p != nil {
		panic(p)
	}
}

// Caught calls f and returns its panic, nil where there was none.
func Caught(f func()) (p *Panic) {
	defer func() {
		if v := recover(); v != nil {
			p = &Panic{v, debug.Stack()}
		}
	}()
	f()
	return nil
}
