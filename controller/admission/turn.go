package admission

import (
	"context"
	"sync"
)

// turn keeps others from admitting while one write is judged. It ends with the time of
// its review, so that a compilation that takes longer holds nobody up.
type turn struct{ end func() }

// taken reports whether somebody has the turn.
func (b *base) taken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holder != nil
}

// take waits for the turn: who comes first has it first.
func (b *base) take(ctx context.Context, turns chan struct{}) (*turn, error) {
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t := &turn{}
	b.hold(t)
	t.end = sync.OnceFunc(func() {
		b.hold(nil)
		<-turns
	})
	context.AfterFunc(ctx, t.end)
	return t, nil
}

func (b *base) hold(t *turn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holder = t
}
