package admission

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// remembered is how long an admitted object counts as there before the informers
// show it. A write that failed after us is forgotten as late.
const remembered = 5 * time.Second

// base is the compiled state that reviews start from: the objects of the cluster
// and those admitted a moment ago. It is compiled once for each state.
type base struct {
	mu     sync.Mutex
	recent map[string]admitted // by path
	seen   *objects.Set        // that the rest was made of
	stale  bool                // recent is not what laid was made of
	laid   *objects.Set
	result *compiler.Result
}

// admitted is an object that is on its way into the cluster.
type admitted struct {
	data, before []byte // before is what the informers showed then
	until        time.Time
}

// current returns the objects that a review starts from, and their compilation.
func (b *base) current(cluster *objects.Set) (*objects.Set, *compiler.Result, error) {
	if cluster == nil {
		return nil, nil, ErrNotReady
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(cluster, time.Now())
	if b.result == nil || b.stale || b.seen != cluster {
		laid := cluster
		for _, path := range slices.Sorted(maps.Keys(b.recent)) {
			laid = laid.With(path, b.recent[path].data)
		}
		b.result, _ = compiler.Compile(laid, lintAfter(b.result))
		b.seen, b.laid, b.stale = cluster, laid, false
	}
	return b.laid, b.result, nil
}

// expire drops what the informers show by now, or something newer.
func (b *base) expire(cluster *objects.Set, now time.Time) {
	for path, a := range b.recent {
		shown, _ := cluster.Get(path)
		if now.After(a.until) || !bytes.Equal(shown, a.before) {
			delete(b.recent, path)
			b.stale = true
		}
	}
}

func (b *base) admit(path string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.recent == nil {
		b.recent = map[string]admitted{}
	}
	before, _ := b.seen.Get(path)
	b.recent[path] = admitted{data: data, before: before, until: time.Now().Add(remembered)}
	b.stale = true
}

func (b *base) forget(path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.recent[path]; ok {
		delete(b.recent, path)
		b.stale = true
	}
}
