package reconcile

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/rollout"
)

// workloads is what a content is to each workload, by namespace/name.
type workloads map[string]artifact.Digest

// contents remembers what contents are to workloads, so that the store is asked once.
type contents struct {
	mu    sync.Mutex
	known map[string]workloads // by the content's digest
}

// workloadsOf digests all that a content has for each workload.
func workloadsOf(content *artifact.Release) workloads {
	roots, _ := content.Shared(artifact.TrustBundle)
	texts := map[string][]byte{}
	for _, l := range content.Leaves() {
		if texts[l.Workload] == nil {
			texts[l.Workload] = roots[:]
		}
		texts[l.Workload] = append(slices.Clip(texts[l.Workload]), l.Encode()...)
	}
	out := make(workloads, len(texts))
	for workload, text := range texts {
		out[workload] = artifact.DigestOf(text)
	}
	return out
}

// of returns what a content is to workloads.
func (c *contents) of(ctx context.Context, key string, get func(context.Context, artifact.Digest) (*artifact.Release, error)) (workloads, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.known[key]; ok {
		return known, nil
	}
	digest, err := artifact.ParseDigest(key)
	if err != nil {
		return nil, err
	}
	content, err := get(ctx, digest)
	if err != nil {
		return nil, err
	}
	c.put(content)
	return c.known[key], nil
}

// note remembers a content that is at hand.
func (c *contents) note(content *artifact.Release) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(content)
}

func (c *contents) put(content *artifact.Release) {
	if c.known == nil {
		c.known = map[string]workloads{}
	}
	c.known[content.Digest().String()] = workloadsOf(content)
}

// keep forgets the contents that no Release has.
func (c *contents) keep(releases []v1alpha1.Release) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.known, func(key string, _ workloads) bool {
		return !slices.ContainsFunc(releases, func(o v1alpha1.Release) bool { return o.Spec.Content == key })
	})
}

// changed says to which workloads the newest release is another one than those that
// they may run: the last complete one, and those that were on their way since. It is
// nil where there is none, or the store does not say: then every proxy is listened to.
func (r *Reconciler) changed(ctx context.Context, releases []v1alpha1.Release, newest *v1alpha1.Release) rollout.Changed {
	if newest == nil {
		return nil
	}
	fallback := rollout.Fallback(releases, newest.Status.Sequence)
	if fallback == nil {
		return nil
	}
	get := func(ctx context.Context, key artifact.Digest) (*artifact.Release, error) {
		return r.Store.Get(ctx, key, nil)
	}
	next, err := r.contents.of(ctx, newest.Spec.Content, get)
	out := rollout.Changed{}
	for i := range releases {
		o := &releases[i]
		if err != nil || !rollout.Signed(o) || o.Status.Sequence < fallback.Status.Sequence || o.Status.Sequence >= newest.Status.Sequence {
			continue
		}
		var before workloads
		if before, err = r.contents.of(ctx, o.Spec.Content, get); err == nil {
			differ(out, before, next)
		}
	}
	if err != nil {
		r.Log.Warn("what a release changes is not known: every proxy is listened to, and nothing goes back by itself", "release", newest.Name, "error", err)
		return nil
	}
	r.contents.keep(releases)
	return out
}

// differ adds the workloads to which two contents are not the same.
func differ(out rollout.Changed, before, next workloads) {
	for workload, digest := range next {
		if before[workload] != digest {
			out[workload] = true
		}
	}
	for workload := range before {
		if _, ok := next[workload]; !ok {
			out[workload] = true
		}
	}
}
