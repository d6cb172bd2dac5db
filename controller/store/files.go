package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/durable"
)

// files is a store in a directory:
//
//	manifests/<key>    the manifest of each content: what makes it be there
//	blobs/<digest>     what manifests lead to, shared between contents
//	incoming/          what is being written, and what a killed process left
//	generation         another text each time that something was removed
//	lock               held by who writes or removes
//
// A file appears by rename, after its bytes are durable: a name that is there has
// all of its content. Readers take no lock and need no right to write.
type files struct {
	dir    string
	limits artifact.Limits
	// step is called before each change of the directory, for tests that end the
	// process there.
	step func(doing string)

	mu sync.Mutex
	// present are blobs that this process wrote, or read and found good, since the
	// directory was of that generation.
	present    map[artifact.Digest]bool
	generation string
	// reach is the blobs of contents that this process has put.
	reach map[artifact.Digest]map[artifact.Digest]bool
}

func openFiles(dir string) *files {
	return &files{
		dir: dir, limits: artifact.DefaultLimits, step: func(string) {},
		present: map[artifact.Digest]bool{}, reach: map[artifact.Digest]map[artifact.Digest]bool{},
	}
}

func (s *files) manifests() string                   { return filepath.Join(s.dir, "manifests") }
func (s *files) blobs() string                       { return filepath.Join(s.dir, "blobs") }
func (s *files) incoming() string                    { return filepath.Join(s.dir, "incoming") }
func (s *files) manifest(key artifact.Digest) string { return filepath.Join(s.manifests(), key.Hex()) }
func (s *files) blob(d artifact.Digest) string       { return filepath.Join(s.blobs(), d.Hex()) }

// Get implements Store.
func (s *files) Get(ctx context.Context, key artifact.Digest, prev *artifact.Release) (*artifact.Release, error) {
	if prev != nil && Key(prev) == key {
		return prev, nil
	}
	r, err := s.get(ctx, key, prev)
	if err != nil {
		return nil, fmt.Errorf("reading content %s from %s: %w", key, s.dir, err)
	}
	return r, nil
}

func (s *files) get(ctx context.Context, key artifact.Digest, prev *artifact.Release) (*artifact.Release, error) {
	manifest, err := s.readManifest(key)
	if err != nil {
		return nil, err
	}
	return artifact.Assemble(manifest, prev, s.limits, func(d artifact.Digest) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, err := readBounded(s.blob(d), s.limits.Blob)
		if errors.Is(err, fs.ErrNotExist) {
			err = &artifact.BlobError{Digest: d, Reason: artifact.BlobMissing}
		}
		return data, err
	})
}

func (s *files) readManifest(key artifact.Digest) ([]byte, error) {
	data, err := readBounded(s.manifest(key), s.limits.Index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if got := artifact.DigestOf(data); got != key {
		return nil, fmt.Errorf("the manifest has digest %s: it was changed", got)
	}
	return data, nil
}

func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", name, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data) // what grows meanwhile fails its digest
	return data, err
}

// Put implements Store.
func (s *files) Put(ctx context.Context, r *artifact.Release) error {
	unlock, err := s.lock(ctx)
	if err == nil {
		defer unlock()
		err = s.put(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("storing content %s in %s: %w", Key(r), s.dir, err)
	}
	return nil
}

func (s *files) put(ctx context.Context, r *artifact.Release) error {
	if s.reach[Key(r)] != nil {
		return nil
	}
	missing, err := s.missing(ctx, r)
	if err != nil {
		return err
	}
	if err := s.write(ctx, r.Blob, missing); err != nil {
		return err
	}
	if _, err := s.readManifest(Key(r)); err != nil {
		s.step("writing the manifest")
		if err := durable.ReplaceFile(s.manifest(Key(r)), r.Manifest(), 0o644); err != nil {
			return err
		}
	}
	s.remember(r)
	return nil
}

// missing returns the blobs that the directory lacks or has with other bytes.
func (s *files) missing(ctx context.Context, r *artifact.Release) ([]artifact.Digest, error) {
	var out []artifact.Digest
	for d := range r.Blobs() {
		if s.present[d] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, err := readBounded(s.blob(d), s.limits.Blob)
		switch {
		case err == nil && artifact.DigestOf(data) == d:
			s.present[d] = true
		case err == nil || errors.Is(err, fs.ErrNotExist):
			out = append(out, d)
		default:
			return nil, err
		}
	}
	return out, nil
}

// write adds blobs: all bytes first, made durable at once, and then their names.
func (s *files) write(ctx context.Context, get func(artifact.Digest) ([]byte, bool), blobs []artifact.Digest) error {
	if len(blobs) == 0 {
		return nil
	}
	s.step("making a directory for what comes")
	temp, err := os.MkdirTemp(s.incoming(), "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	for _, d := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, _ := get(d)
		s.step("writing a blob")
		if err := os.WriteFile(filepath.Join(temp, d.Hex()), data, 0o644); err != nil {
			return err
		}
	}
	if err := durable.SyncTree(temp); err != nil {
		return err
	}
	for _, d := range blobs {
		s.step("naming a blob")
		if err := os.Rename(filepath.Join(temp, d.Hex()), s.blob(d)); err != nil {
			return err
		}
	}
	return durable.SyncDir(s.blobs())
}

// remember notes what is in the directory now.
func (s *files) remember(r *artifact.Release) {
	reach := make(map[artifact.Digest]bool, r.Len())
	for d := range r.Blobs() {
		s.present[d] = true
		reach[d] = true
	}
	s.reach[Key(r)] = reach
}

// digestOfName reads the name of a blob's or manifest's file.
func digestOfName(name string) (d artifact.Digest, ok bool) {
	raw, err := hex.DecodeString(name)
	if err != nil || len(raw) != len(d) {
		return d, false
	}
	copy(d[:], raw)
	return d, d.Hex() == name
}
