package admission

import (
	"bytes"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/mesh-compile/mesh-compile/controller/objects"
)

// Bounds of what is remembered. Beyond them the oldest is forgotten.
const (
	maxRecent      = 256
	maxRecentBytes = 16 << 20
)

// Bounds of asking the API server whether what was admitted is there: a write is
// stored some milliseconds after its review.
const (
	confirmWithin = 500 * time.Millisecond
	maxConfirmed  = 32 // objects at a time
)

// Ref names an object.
type Ref struct{ Group, Version, Kind, Namespace, Name string }

func (b *base) remember(path string, a admitted) {
	b.drop(path)
	if b.recent == nil {
		b.recent = map[string]admitted{}
	}
	b.recent[path] = a
	b.size += len(a.data) + len(a.before)
	for len(b.recent) > 1 && (len(b.recent) > maxRecent || b.size > maxRecentBytes) {
		b.drop(b.oldest())
	}
}

func (b *base) oldest() (oldest string) {
	for path, a := range b.recent {
		if oldest == "" || a.until.Before(b.recent[oldest].until) {
			oldest = path
		}
	}
	return oldest
}

func (b *base) drop(path string) {
	if a, ok := b.recent[path]; ok {
		b.size -= len(a.data) + len(a.before)
		delete(b.recent, path)
	}
}

// doubtful are the admitted objects that nobody has seen in the cluster, the last
// first.
func (b *base) doubtful() []admitted {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []admitted
	for _, a := range b.recent {
		if !a.confirmed {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(x, y admitted) int { return y.until.Compare(x.until) })
	return out[:min(len(out), maxConfirmed)]
}

// confirm asks the API server for what was admitted a moment ago. What it does not show
// soon is forgotten: the write failed after its review, or nobody made one. Anybody who
// reaches the port can send a review.
func (b *base) confirm(ctx context.Context, live func(context.Context, Ref) (*unstructured.Unstructured, error)) {
	ctx, cancel := context.WithTimeout(ctx, confirmWithin)
	defer cancel()
	left := b.doubtful()
	for wait := 10 * time.Millisecond; len(left) > 0; wait *= 2 {
		left = slices.DeleteFunc(left, func(a admitted) bool {
			u, err := live(ctx, a.ref)
			if err != nil || u == nil {
				return false
			}
			data, err := objects.Render(u)
			return err == nil && bytes.Equal(data, a.data) && b.settle(a, true)
		})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			for _, a := range left {
				b.settle(a, false)
			}
			return
		}
	}
}

// settle ends a doubt about an object, unless another was admitted in its place.
func (b *base) settle(a admitted, there bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	path := a.ref.path()
	now, ok := b.recent[path]
	switch {
	case !ok || !bytes.Equal(now.data, a.data):
	case there:
		now.confirmed = true
		b.recent[path] = now
	default:
		b.drop(path)
	}
	return true
}

func (r Ref) path() string { return objects.Path(r.Group, r.Kind, r.Namespace, r.Name) }
