package admission

import (
	"strconv"
	"time"
)

// Compilations is how often the reviewer has compiled.
func (r *Reviewer) Compilations() int64 { return r.base.compilations.Load() }

// Between is the least time between two compilations of Follow.
const Between = between

// Bounds of what is remembered.
const (
	MaxRecent      = maxRecent
	MaxRecentBytes = maxRecentBytes
)

// Remembered is how many of some admitted objects are remembered, and their bytes.
func Remembered(n, size int) (kept, bytes int) {
	var b base
	for i := range n {
		b.remember(strconv.Itoa(i), admitted{data: make([]byte, size), until: time.Unix(int64(i), 0)})
	}
	return len(b.recent), b.size
}
