package admission

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler"
	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// remembered is how long an admitted object counts as there before the informers
// show it. A write that failed after us is forgotten as late.
const remembered = 5 * time.Second

// judgedAgain is how long expiries are judged as of one moment. Both compilations of a
// review are of the same: what expired meanwhile is nobody's write.
const judgedAgain = 10 * time.Minute

// known is how many compiled states are kept. One more than writes that are under
// review at a time is enough for each of them to be found.
const known = 4

// base is what reviews start from: the objects of the cluster and those admitted a
// moment ago. Each state of them is compiled once, that after an admitted write by its
// review.
type base struct {
	compilations atomic.Int64

	mu     sync.Mutex
	recent map[string]admitted // by path
	seen   *objects.Set        // that the cluster held last
	known  []*state            // the last first
	making *making             // nil while nothing is compiled
	count  int                 // of objects that were ever admitted
	size   int                 // bytes of recent
	holder *turn               // nil while everybody may admit
}

// state is objects and their compilation.
type state struct {
	set    *objects.Set
	result *compiler.Result
	asOf   time.Time
}

// making is a state that is being compiled; nil when done where that broke.
type making struct {
	set   *objects.Set
	done  chan struct{}
	state *state
}

// admitted is an object that is on its way into the cluster.
type admitted struct {
	ref          Ref
	data, before []byte // before is what the informers showed then
	until        time.Time
	confirmed    bool // the API server has shown it
}

// with compiles a change of the state.
func (s *state) with(b *base, set *objects.Set) *state {
	b.compilations.Add(1)
	result, _ := compiler.Compile(set, compiler.Options{LintOnly: true, AsOf: s.asOf, Previous: s.result})
	return &state{set, result, s.asOf}
}

func same(a, b *objects.Set) bool {
	names, ok := a.Changes(b)
	return ok && len(names) == 0
}

// current returns the state that a review starts from, without what is not confirmed
// where that is asked for. Who needs one that is being compiled waits for it; nobody
// waits for another.
func (b *base) current(cluster *objects.Set, confirmed bool) (*state, error) {
	if cluster == nil {
		return nil, ErrNotReady
	}
	now := time.Now()
	b.mu.Lock()
	laid := b.lay(cluster, now, confirmed)
	if s := b.find(laid, now); s != nil {
		b.mu.Unlock()
		return s, nil
	}
	if m := b.making; m != nil && same(m.set, laid) {
		b.mu.Unlock()
		<-m.done
		if m.state == nil {
			return nil, errBroken
		}
		return m.state, nil
	}
	m := &making{set: laid, done: make(chan struct{})}
	from := &state{asOf: now}
	if len(b.known) > 0 {
		from.result = b.known[0].result
	}
	b.making = m
	b.mu.Unlock()
	defer b.made(m)
	m.state = from.with(b, laid)
	return m.state, nil
}

var errBroken = errors.New("the objects of the cluster could not be compiled")

// made ends a compilation, also one that broke.
func (b *base) made(m *making) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.making == m {
		b.making = nil
	}
	if m.state != nil {
		b.keep(m.state)
	}
	close(m.done)
}

// lay lays what was admitted over what the cluster shows.
func (b *base) lay(cluster *objects.Set, now time.Time, confirmed bool) *objects.Set {
	b.seen = cluster
	laid := cluster
	for path, a := range b.recent {
		shown, _ := cluster.Get(path)
		if now.After(a.until) || !bytes.Equal(shown, a.before) { // shown by now, or something newer
			b.drop(path)
		} else if a.confirmed || !confirmed {
			laid = laid.With(path, a.data)
		}
	}
	return laid
}

// find returns the state of some objects, nil where it is not known.
func (b *base) find(set *objects.Set, now time.Time) *state {
	for _, s := range b.known {
		if now.Sub(s.asOf) <= judgedAgain && same(s.set, set) {
			b.keep(s)
			return s
		}
	}
	return nil
}

func (b *base) keep(s *state) {
	b.known = slices.DeleteFunc(b.known, func(k *state) bool { return k == s })
	b.known = slices.Insert(b.known, 0, s)
	b.known = b.known[:min(len(b.known), known)]
}

// admissions counts the objects that were ever admitted.
func (b *base) admissions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// admit remembers an object that was admitted, and the state that comes of it, unless
// others were admitted since so many were: the verdict did not know of them. A change
// that means nothing is nothing to know of.
func (b *base) admit(w *write, after *state, means bool, since int, t *turn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count != since || means && b.holder != t {
		return false
	}
	b.keep(after)
	if means {
		before, _ := b.seen.Get(w.path)
		b.remember(w.path, admitted{ref: w.ref, data: w.data, before: before, until: time.Now().Add(remembered)})
		b.count++
	}
	return true
}

// forget takes an object for gone when the cluster shows that.
func (b *base) forget(path string, after *state) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(path)
	b.keep(after)
}
