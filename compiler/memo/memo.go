// Package memo computes a value once per key, within a run and from one run to
// the next.
//
// In: keys, and how to make a value. Out: the value, the very same for the same
// key. It never drops a value that this run asked for, and never keeps one that
// neither this run nor the one before asked for.
package memo

import "sync"

// Table holds the values of one run. It may be used concurrently.
type Table[K comparable, V any] struct {
	mu        sync.Mutex
	made, old map[K]*once[V]
}

type once[V any] struct {
	sync.Once
	value V
	err   error
}

// New returns the table of the next run. What previous, which may be nil, holds
// is taken over when it is asked for.
func New[K comparable, V any](previous *Table[K, V]) *Table[K, V] {
	t := &Table[K, V]{}
	if previous != nil {
		previous.mu.Lock()
		defer previous.mu.Unlock()
		t.old = previous.made
	}
	t.made = make(map[K]*once[V], len(t.old))
	return t
}

// Get returns the value of a key; compute makes it for whoever asks first.
func (t *Table[K, V]) Get(key K, compute func() (V, error)) (V, error) {
	o := t.entry(key)
	o.Do(func() { o.value, o.err = compute() })
	return o.value, o.err
}

func (t *Table[K, V]) entry(key K) *once[V] {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o, ok := t.made[key]; ok {
		return o
	}
	o, ok := t.old[key]
	if !ok {
		o = &once[V]{}
	}
	t.made[key] = o
	return o
}
