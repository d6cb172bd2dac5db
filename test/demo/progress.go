package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// patience is how long a step may take before it is named.
const patience = 2 * time.Second

// progress names the steps that take long, and stays silent about the others.
type progress struct {
	mu   sync.Mutex
	out  io.Writer
	step int // the one that goes on
}

// begin ends the step before.
func (p *progress) begin(name string) {
	step := p.end()
	time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.step == step {
			fmt.Fprintf(p.out, "%s ...\n", name)
		}
	})
}

// end ends the last step: nothing is written about it any more.
func (p *progress) end() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step++
	return p.step
}
