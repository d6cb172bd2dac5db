package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/durable"
)

// Keep implements Store. Manifests go first, so that what is there is whole at
// every moment. Content to keep that cannot be read is an error, and nothing is
// removed: its blobs cannot be told from others.
func (s *files) Keep(ctx context.Context, keys []artifact.Digest) error {
	unlock, err := s.lock(ctx)
	if err == nil {
		defer unlock()
		err = s.keep(ctx, keys)
	}
	if err != nil {
		return fmt.Errorf("removing old content from %s: %w", s.dir, err)
	}
	return nil
}

func (s *files) keep(ctx context.Context, keys []artifact.Digest) error {
	have, err := digestsIn(s.manifests())
	if err != nil {
		return err
	}
	live := map[artifact.Digest]bool{}
	for _, key := range keys {
		live[key] = true // a file
	}
	var old []artifact.Digest
	for _, key := range have {
		if !slices.Contains(keys, key) {
			old = append(old, key)
			continue
		}
		reach, err := s.reached(ctx, key)
		if err != nil {
			return fmt.Errorf("content %s: %w", key, err)
		}
		for d := range reach {
			live[d] = true
		}
	}
	all, err := digestsIn(s.blobs())
	if err != nil {
		return err
	}
	dead := slices.DeleteFunc(all, func(d artifact.Digest) bool { return live[d] })
	if len(old)+len(dead) == 0 {
		return nil
	}
	return s.remove(old, dead)
}

// reached returns the blobs of a content.
func (s *files) reached(ctx context.Context, key artifact.Digest) (map[artifact.Digest]bool, error) {
	if reach, ok := s.reach[key]; ok {
		return reach, nil
	}
	r, err := s.get(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	s.remember(r)
	return s.reach[key], nil
}

func (s *files) remove(manifests, blobs []artifact.Digest) error {
	if err := s.turn(); err != nil {
		return err
	}
	for _, key := range manifests {
		delete(s.reach, key)
		s.step("removing a manifest")
		if err := os.Remove(s.manifest(key)); err != nil {
			return err
		}
	}
	if err := durable.SyncDir(s.manifests()); err != nil {
		return err
	}
	for _, d := range blobs {
		delete(s.present, d)
		s.step("removing a blob")
		if err := os.Remove(s.blob(d)); err != nil {
			return err
		}
	}
	return nil
}

// digestsIn returns the digests that files of a directory are called by. What a
// killed ReplaceFile has left is removed; other files are none of ours.
func digestsIn(dir string) ([]artifact.Digest, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make([]artifact.Digest, 0, len(entries))
	for _, e := range entries {
		d, ok := digestOfName(e.Name())
		if ok {
			out = append(out, d)
		} else if strings.HasPrefix(e.Name(), ".") && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
