package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// registry is a store in a repository of a registry: for each content one artifact
// whose tag is its key. Its layers are a whole release and, above it, the
// difference to it, so that the next release of a large mesh costs what changed.
// The whole one is the same blob in many artifacts.
type registry struct {
	repo *remote.Repository

	mu   sync.Mutex
	base *base
}

// base is the whole layer that this process makes differences to.
type base struct {
	layer ocispec.Descriptor
	blobs map[artifact.Digest]bool
}

const tagPrefix = "sha256-"

// tag is the key as registries allow it in a tag.
func tag(key artifact.Digest) string { return tagPrefix + key.Hex() }

func keyOfTag(t string) (artifact.Digest, bool) {
	name, ok := strings.CutPrefix(t, tagPrefix)
	if !ok {
		return artifact.Digest{}, false
	}
	return digestOfName(name)
}

// Get implements Store.
func (s *registry) Get(ctx context.Context, key artifact.Digest, prev *artifact.Release) (*artifact.Release, error) {
	if prev != nil && Key(prev) == key {
		return prev, nil
	}
	r, err := s.get(ctx, key, prev)
	if err != nil {
		return nil, fmt.Errorf("reading content %s from %s: %w", key, s.repo.Reference, err)
	}
	return r, nil
}

func (s *registry) get(ctx context.Context, key artifact.Digest, prev *artifact.Release) (*artifact.Release, error) {
	a, err := fetchArtifact(ctx, s.repo, tag(key), artifact.DefaultLimits)
	if err != nil {
		return nil, err
	}
	r, err := a.release(ctx, prev)
	if err != nil {
		return nil, err
	}
	if Key(r) != key {
		return nil, fmt.Errorf("content %s is in its place", Key(r))
	}
	return r.WithEnvelope(nil), nil
}

// Put implements Store.
func (s *registry) Put(ctx context.Context, r *artifact.Release) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.put(ctx, r.WithEnvelope(nil)); err != nil {
		return fmt.Errorf("storing content %s in %s: %w", Key(r), s.repo.Reference, err)
	}
	return nil
}

func (s *registry) put(ctx context.Context, r *artifact.Release) error {
	_, err := s.repo.Resolve(ctx, tag(Key(r)))
	if err == nil || !errors.Is(err, errdef.ErrNotFound) {
		return err
	}
	layers, err := s.layers(ctx, r)
	if err != nil {
		return err
	}
	_, err = pushArtifact(ctx, s.repo, tag(Key(r)), layers, nil)
	return err
}

// layers sends what a release needs and returns its layers.
func (s *registry) layers(ctx context.Context, r *artifact.Release) ([]ocispec.Descriptor, error) {
	if difference, ok, err := s.difference(ctx, r); ok || err != nil {
		return difference, err
	}
	var whole bytes.Buffer
	if err := r.WriteTar(&whole); err != nil {
		return nil, err
	}
	layer, err := pushLayer(ctx, s.repo, whole.Bytes())
	if err != nil {
		return nil, err
	}
	s.base = &base{layer: layer, blobs: make(map[artifact.Digest]bool, r.Len())}
	for d := range r.Blobs() {
		s.base.blobs[d] = true
	}
	return []ocispec.Descriptor{layer}, nil
}

// difference sends the difference to the base, unless it has grown to a good part
// of it, or the registry has no base any more.
func (s *registry) difference(ctx context.Context, r *artifact.Release) ([]ocispec.Descriptor, bool, error) {
	if s.base == nil {
		return nil, false, nil
	}
	var top bytes.Buffer
	if err := r.WriteDifference(&top, func(d artifact.Digest) bool { return s.base.blobs[d] }); err != nil {
		return nil, false, err
	}
	if int64(top.Len()) > s.base.layer.Size/2 {
		return nil, false, nil
	}
	if have, err := s.repo.Exists(ctx, s.base.layer); err != nil || !have {
		return nil, false, err
	}
	layer, err := pushLayer(ctx, s.repo, top.Bytes())
	return []ocispec.Descriptor{s.base.layer, layer}, err == nil, err
}

// Keep implements Store. Blobs are the registry's to collect. Tags that are no
// keys, and so no content of ours, stay.
func (s *registry) Keep(ctx context.Context, keys []artifact.Digest) error {
	if err := s.keep(ctx, keys); err != nil {
		return fmt.Errorf("removing old content from %s: %w", s.repo.Reference, err)
	}
	return nil
}

func (s *registry) keep(ctx context.Context, keys []artifact.Digest) error {
	var old []string
	err := s.repo.Tags(ctx, "", func(tags []string) error {
		for _, t := range tags {
			if key, ok := keyOfTag(t); ok && !slices.Contains(keys, key) {
				old = append(old, t)
			}
		}
		return nil
	})
	if hasStatus(err, http.StatusNotFound) {
		return nil // a repository begins with the first push
	}
	if err != nil {
		return err
	}
	for _, t := range old {
		if err := s.remove(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (s *registry) remove(ctx context.Context, tag string) error {
	desc, err := s.repo.Resolve(ctx, tag)
	if err == nil {
		err = s.repo.Delete(ctx, desc)
	}
	if errors.Is(err, errdef.ErrNotFound) {
		return nil
	}
	if hasStatus(err, http.StatusMethodNotAllowed) {
		return fmt.Errorf("the registry lets no manifest be deleted: give the repository a retention policy for tags %s*: %w", tagPrefix, err)
	}
	return err
}

func hasStatus(err error, status int) bool {
	var answer *errcode.ErrorResponse
	return errors.As(err, &answer) && answer.StatusCode == status
}
