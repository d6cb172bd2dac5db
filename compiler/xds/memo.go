package xds

import "sync"

// memo computes a value once per key, whoever asks first. What the generator
// before made is taken over when it is asked for, so that values nobody asks for
// any more are dropped with that generator.
type memo[K comparable, V any] struct {
	mu        sync.Mutex
	made, old map[K]*once[V]
}

type once[V any] struct {
	sync.Once
	value V
	err   error
}

func newMemo[K comparable, V any](previous *memo[K, V]) *memo[K, V] {
	m := &memo[K, V]{made: map[K]*once[V]{}}
	if previous != nil {
		previous.mu.Lock()
		defer previous.mu.Unlock()
		m.old = previous.made
	}
	return m
}

func (m *memo[K, V]) get(key K, compute func() (V, error)) (V, error) {
	o := m.entry(key)
	o.Do(func() { o.value, o.err = compute() })
	return o.value, o.err
}

func (m *memo[K, V]) entry(key K) *once[V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.made[key]; ok {
		return o
	}
	o, ok := m.old[key]
	if !ok {
		o = &once[V]{}
	}
	m.made[key] = o
	return o
}
