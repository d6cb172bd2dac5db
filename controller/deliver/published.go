package deliver

import (
	"bytes"
	"slices"
	"sort"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	deliveryv1 "github.com/mesh-compile/mesh-compile/controller/delivery/v1"
)

// published is a release that agents may have.
type published struct {
	*artifact.Release
	sequence uint64
	slices   memo[[]artifact.Digest]            // lists by slice
	lists    memo[map[artifact.Digest]struct{}] // resources by list
}

// releases are those that agents may have: the live one, the one for workloads that
// the live one has not reached, and what was served before them, which agents run
// until they have changed over.
type releases []*published

// serving is what is served to whom.
type serving struct {
	releases            // live first
	fallback *published // nil without one
	reached  func(workload string) bool
}

func (rs releases) live() *published {
	if len(rs) == 0 {
		return nil
	}
	return rs[0]
}

// of returns the release that a workload is served: one that the live release has
// not reached gets the fallback, if that knows it. nil is before the first release.
func (s *serving) of(k artifact.Key) *published {
	if s.fallback == nil || s.reached(k.Workload) {
		return s.live()
	}
	if _, _, ok := s.fallback.Lookup(k); ok {
		return s.fallback
	}
	return s.live()
}

// follow returns what is served next. A release that was served already is the same
// as before: agents that have it are not sent it again.
func (s *serving) follow(r Rollout) *serving {
	next := &serving{reached: r.Reached}
	add := func(p *published) *published {
		if p != nil && !slices.Contains(next.releases, p) {
			next.releases = append(next.releases, p)
		}
		return p
	}
	add(s.known(r.Live, r.Sequence))
	if r.Fallback != nil && r.Reached != nil {
		next.fallback = add(s.known(r.Fallback, r.FallbackSequence))
	}
	if slices.Equal(next.releases, s.serves()) {
		next.releases = s.releases // a wave: what was served before stays what it was
		return next
	}
	for _, p := range s.serves() {
		add(p)
	}
	return next
}

// serves are the releases that some workload is served.
func (s *serving) serves() releases {
	if s.fallback == nil {
		return s.releases[:min(1, len(s.releases))]
	}
	return releases{s.live(), s.fallback}
}

func (s *serving) known(r *artifact.Release, sequence uint64) *published {
	for _, p := range s.releases {
		if p.Digest() == r.Digest() && bytes.Equal(p.Envelope(), r.Envelope()) {
			return p
		}
	}
	return &published{Release: r, sequence: sequence}
}

// sendable reports whether an agent with a sequence takes a release: not one from
// before it.
func (s *serving) sendable(p *published, mark uint64) bool {
	return p != nil && (p != s.fallback || p.sequence >= mark)
}

// update returns what an agent with this key is sent.
func (p *published) update(key artifact.Key) (*deliveryv1.Update, error) {
	in, err := p.Prove(key)
	if err != nil {
		return nil, err
	}
	u := &deliveryv1.Update{Envelope: p.Envelope(), Leaf: in.Leaf.Encode(), Index: uint64(in.Index)}
	for _, d := range in.Proof {
		u.Proof = append(u.Proof, d[:])
	}
	return u, nil
}

// leavesOf returns the leaves of an identity, those of all its workloads. They
// stand together: leaves are sorted by identity first.
func (p *published) leavesOf(identity string) []artifact.Leaf {
	leaves := p.Leaves()
	from := sort.Search(len(leaves), func(i int) bool { return leaves[i].SPIFFEID >= identity })
	to := from
	for to < len(leaves) && leaves[to].SPIFFEID == identity {
		to++
	}
	return leaves[from:to]
}

// blob returns a blob that one of the identity's leaves leads to.
func (rs releases) blob(identity string, d artifact.Digest) ([]byte, bool) {
	for _, p := range rs {
		for _, leaf := range p.leavesOf(identity) {
			if p.reaches(leaf, d) {
				return p.Blob(d)
			}
		}
	}
	return nil, false
}

// reaches reports whether d is in [artifact.Release.Closure] of leaf, without
// building that for each leaf: lists are shared between leaves.
func (p *published) reaches(leaf artifact.Leaf, d artifact.Digest) bool {
	switch d {
	case artifact.Digest{}:
		return false
	case leaf.Slice, leaf.Bundle, leaf.Constraints, leaf.AgentPolicy:
		return true
	}
	if bundle, ok := p.Shared(artifact.TrustBundle); ok && d == bundle {
		return true
	}
	return slices.ContainsFunc(p.slices.get(leaf.Slice, p.listsOf), func(list artifact.Digest) bool {
		if list == d {
			return true
		}
		_, ok := p.lists.get(list, p.members)[d]
		return ok
	})
}

// listsOf returns a slice's lists, none of a tombstone, which has no slice.
func (p *published) listsOf(slice artifact.Digest) []artifact.Digest {
	data, _ := p.Blob(slice)
	lists, err := artifact.DecodeSlice(data)
	if err != nil {
		return nil
	}
	return lists
}

func (p *published) members(list artifact.Digest) map[artifact.Digest]struct{} {
	data, _ := p.Blob(list)
	refs, err := artifact.DecodeList(data)
	if err != nil {
		return nil
	}
	out := make(map[artifact.Digest]struct{}, len(refs))
	for _, r := range refs {
		out[r.Digest] = struct{}{}
	}
	return out
}

// constraints returns the digests of the constraints that a workload's proxies
// may be under, newest release first.
func (rs releases) constraints(key artifact.Key) []artifact.Digest {
	var out []artifact.Digest
	for _, p := range rs {
		if leaf, _, ok := p.Lookup(key); ok && leaf.Kind == artifact.Live {
			out = append(out, leaf.Constraints)
		}
	}
	return out
}

// clusters returns the names of the clusters that some constraints name.
func (rs releases) clusters(constraints []artifact.Digest) map[string]bool {
	out := map[string]bool{}
	for _, d := range constraints {
		for _, p := range rs {
			data, ok := p.Blob(d)
			if !ok {
				continue
			}
			c, err := artifact.DecodeConstraints(data)
			if err != nil {
				continue // no release that was built has such
			}
			for _, cl := range c.Clusters {
				out[cl.Name] = true
			}
			break
		}
	}
	return out
}

// memo remembers what was made of a blob.
type memo[T any] struct {
	mu    sync.Mutex
	known map[artifact.Digest]T
}

func (m *memo[T]) get(d artifact.Digest, make func(artifact.Digest) T) T {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.known[d]
	if !ok {
		if m.known == nil {
			m.known = map[artifact.Digest]T{}
		}
		v = make(d)
		m.known[d] = v
	}
	return v
}

// blobs returns the blobs of the digests, all of which the identity may have.
func (rs releases) blobs(identity string, digests [][]byte) ([][]byte, error) {
	out := make([][]byte, len(digests))
	for i, raw := range digests {
		var d artifact.Digest
		if len(raw) != len(d) {
			return nil, status.Errorf(codes.InvalidArgument, "digest %d has %d bytes, want %d", i, len(raw), len(d))
		}
		copy(d[:], raw)
		data, ok := rs.blob(identity, d)
		if !ok {
			return nil, status.Errorf(codes.NotFound, "no workload of %s has blob %s in a release that is served", identity, d)
		}
		out[i] = data
	}
	return out, nil
}
