package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
	"github.com/mesh-compile/mesh-compile/controller/api/v1alpha1"
	"github.com/mesh-compile/mesh-compile/controller/deliver"
	"github.com/mesh-compile/mesh-compile/controller/rollout"
	"github.com/mesh-compile/mesh-compile/controller/store"
)

// Options of a Follower.
type Options struct {
	Root    *sign.TrustedRoot
	Store   store.Store
	Deliver *deliver.Server
	// Endpoints is told which clusters are asked for, newest release first, before a
	// release is served.
	Endpoints func(releases ...[]artifact.DiscoveredService)
	// Trust is told the trust bundles, PEM, of the releases that are served.
	Trust func(bundles ...[]byte) error
	Log   *slog.Logger
}

// Follower serves what Releases say. Update is called by one goroutine.
type Follower struct {
	opt   Options
	known map[artifact.Digest]signed // by the envelope's digest

	live, fallback *served
	before         []*served // that agents may still run
	services       map[artifact.Digest][]artifact.DiscoveredService
	told           []artifact.Digest // of services, in the order in which they were told

	mu     sync.Mutex
	status Status
}

// served is a candidate with its content.
type served struct {
	*candidate
	release *artifact.Release
}

// Status is what is served.
type Status struct {
	Sequence, Epoch uint64 // 0 where nothing is
	Digest          artifact.Digest
	Expires         time.Time
	// Fallback is the sequence that workloads get which the live release has not
	// reached, 0 where it is for all.
	Fallback uint64
	// Behind says why a newer release is not served, "" where there is none.
	Behind string
	// Shown is the highest sequence that an agent has shown and our own key signed.
	Shown uint64
}

// New returns a follower that serves nothing yet.
func New(opt Options) *Follower { return &Follower{opt: opt} }

// Status returns what is served now.
func (f *Follower) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Shown is told an envelope that an agent runs. A release that our own key signed
// and nobody here knows means that a ledger was lost; who signs must go above it.
func (f *Follower) Shown(envelope []byte) {
	doc, _, err := f.opt.Root.OpenRelease(envelope)
	if err != nil {
		return // of another mesh, or of a key that is gone
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if doc.SequenceEpoch == f.opt.Root.Document().SequenceEpoch {
		f.status.Shown = max(f.status.Shown, doc.Sequence)
	}
}

// Update serves what the releases say at a time. With an error what was served
// stays, and it is worth trying again; otherwise it says how long nothing will
// change by itself, 0 for ever.
func (f *Follower) Update(ctx context.Context, list []v1alpha1.Release, now time.Time) (time.Duration, error) {
	found, next := f.candidates(list, now)
	live, failed := f.chooseLive(ctx, found, now)
	if live == nil {
		f.note(failed)
		return next, failed
	}
	fallback, err := f.chooseFallback(ctx, found, live, now)
	failed = errors.Join(failed, err)
	if err := f.serve(live, fallback); err != nil {
		failed = errors.Join(failed, err)
	}
	f.note(failed)
	return next, failed
}

// chooseLive returns the newest release that can be served, and why a newer one is
// not. It is never an older one than what is served.
func (f *Follower) chooseLive(ctx context.Context, found []*candidate, now time.Time) (*served, error) {
	var failed error
	for _, c := range found {
		if f.live != nil && c.compare(f.live.candidate) < 0 {
			break
		}
		if f.live != nil && c.compare(f.live.candidate) == 0 && c.digest != f.live.digest {
			failed = errors.Join(failed, fmt.Errorf("release %s is another release %d than the one that is served", c.object.Name, c.doc.Sequence))
			continue
		}
		s, err := f.content(ctx, c, now)
		if err == nil {
			return s, failed
		}
		failed = errors.Join(failed, err)
	}
	return f.live, failed
}

// chooseFallback returns what workloads are served that live has not reached: the
// newest complete release before it, nil where it is for all. One that cannot be
// read is stood in for by what is served.
func (f *Follower) chooseFallback(ctx context.Context, found []*candidate, live *served, now time.Time) (*served, error) {
	if live.object.Spec.Rollout == nil || rollout.Complete(live.object) {
		return nil, nil
	}
	var failed error
	for _, c := range found {
		if c.compare(live.candidate) >= 0 || !rollout.Complete(c.object) {
			continue
		}
		s, err := f.content(ctx, c, now)
		if err == nil {
			return s, failed
		}
		failed = errors.Join(failed, err)
	}
	for _, s := range []*served{f.fallback, f.live} {
		if s != nil && s.compare(live.candidate) < 0 {
			return s, failed
		}
	}
	return nil, failed
}

// content returns a candidate with its content, which is the signed one.
func (f *Follower) content(ctx context.Context, c *candidate, now time.Time) (*served, error) {
	var prev *artifact.Release
	for _, s := range append([]*served{f.live, f.fallback}, f.before...) {
		if s == nil {
			continue
		}
		if bytes.Equal(s.envelope, c.envelope) {
			return &served{c, s.release}, nil
		}
		if prev == nil {
			prev = s.release
		}
	}
	key, err := artifact.ParseDigest(c.object.Spec.Content)
	if err != nil {
		return nil, fmt.Errorf("release %s: %w", c.object.Name, err)
	}
	content, err := f.opt.Store.Get(ctx, key, prev)
	if err != nil {
		return nil, fmt.Errorf("reading the content of release %s: %w", c.object.Name, err)
	}
	content = content.WithEnvelope(c.envelope)
	// One that has expired is still served: proxies go on with what they have, and
	// decide themselves. That it once was good is checked as of when it was signed.
	if at := c.doc.ExpiresAt.Time; !now.Before(at) {
		f.opt.Log.Error("the release has expired", "release", c.object.Name, "sequence", c.doc.Sequence, "expired", at)
		now = c.doc.NotBefore.Time
	}
	if _, _, err := sign.CheckRelease(f.opt.Root, content, now); err != nil {
		return nil, fmt.Errorf("release %s: %w", c.object.Name, err)
	}
	return &served{c, content}, nil
}

// serve makes live and fallback what agents are served. Endpoints come first: an
// agent that has a release asks for those of its new clusters at once.
func (f *Follower) serve(live, fallback *served) error {
	keep := f.keep(live, fallback)
	if err := f.tellEndpoints(keep); err != nil {
		return err
	}
	if err := f.tellTrust(keep); err != nil {
		return err
	}
	next := deliver.Rollout{Live: live.release, Sequence: live.doc.Sequence}
	if fallback != nil {
		object := live.object.DeepCopy()
		next.Fallback, next.FallbackSequence = fallback.release, fallback.doc.Sequence
		next.Reached = func(workload string) bool { return rollout.Reached(object, workload) }
	}
	if err := f.opt.Deliver.PublishRollout(next); err != nil {
		return err
	}
	if f.live == nil || f.live.digest != live.digest {
		f.opt.Log.Info("release is live", "release", live.object.Name, "sequence", live.doc.Sequence,
			"commit", live.doc.Source.Commit, "workloads", len(live.release.Leaves()), "expires", live.doc.ExpiresAt.Time)
	}
	f.live, f.fallback, f.before = live, fallback, keep[1:]
	return nil
}

// keep returns what is served next and what was served before it, newest first,
// each once: agents run the latter until they have changed over.
func (f *Follower) keep(live, fallback *served) []*served {
	out := []*served{live}
	for _, s := range append([]*served{fallback}, f.earlier(live, fallback)...) {
		if s != nil && !slices.ContainsFunc(out, func(o *served) bool { return o.digest == s.digest }) {
			out = append(out, s)
		}
	}
	return out
}

// earlier is what was served before: as it was while the releases are the same.
func (f *Follower) earlier(live, fallback *served) []*served {
	if same(f.live, live) && same(f.fallback, fallback) {
		return f.before
	}
	return []*served{f.live, f.fallback}
}

func same(a, b *served) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.digest == b.digest
}

// tellEndpoints reads each release's discovery blob, once while it stays the same,
// as it does from one route to the next.
func (f *Follower) tellEndpoints(keep []*served) error {
	next := map[artifact.Digest][]artifact.DiscoveredService{}
	var order []artifact.Digest
	var all [][]artifact.DiscoveredService
	for _, s := range keep {
		blob, ok := s.release.AuxBlob(artifact.Discovery)
		if !ok {
			return fmt.Errorf("release %s does not say where its endpoints are: it was made by an earlier version", s.object.Name)
		}
		if _, ok := next[blob.Digest()]; ok {
			continue
		}
		services, ok := f.services[blob.Digest()]
		if !ok {
			var err error
			if services, err = artifact.DecodeDiscovery(blob.Bytes()); err != nil {
				return fmt.Errorf("release %s: %w", s.object.Name, err)
			}
		}
		next[blob.Digest()] = services
		order, all = append(order, blob.Digest()), append(all, services)
	}
	f.services = next
	if !slices.Equal(order, f.told) {
		f.opt.Endpoints(all...)
		f.told = order
	}
	return nil
}

func (f *Follower) tellTrust(keep []*served) error {
	var bundles [][]byte
	for _, s := range keep {
		if d, ok := s.release.Shared(artifact.TrustBundle); ok {
			bundle, _ := s.release.Blob(d)
			bundles = append(bundles, bundle)
		}
	}
	return f.opt.Trust(bundles...)
}

func (f *Follower) note(failed error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	shown := f.status.Shown
	f.status = Status{Shown: shown}
	if failed != nil {
		f.status.Behind = failed.Error()
	}
	if f.live != nil {
		f.status.Sequence, f.status.Epoch, f.status.Digest = f.live.doc.Sequence, f.live.doc.SequenceEpoch, f.live.digest
		f.status.Expires = f.live.doc.ExpiresAt.Time
	}
	if f.fallback != nil {
		f.status.Fallback = f.fallback.doc.Sequence
	}
}
