package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// PutFile implements Store. A file is a blob that no manifest leads to.
func (s *files) PutFile(ctx context.Context, data []byte) (artifact.Digest, error) {
	key := artifact.DigestOf(data)
	unlock, err := s.lock(ctx)
	if err == nil {
		defer unlock()
		err = s.putFile(ctx, key, data)
	}
	if err != nil {
		return key, fmt.Errorf("storing file %s in %s: %w", key, s.dir, err)
	}
	return key, nil
}

func (s *files) putFile(ctx context.Context, key artifact.Digest, data []byte) error {
	if int64(len(data)) > s.limits.Blob {
		return fmt.Errorf("%d bytes, at most %d are kept", len(data), s.limits.Blob)
	}
	if have, err := readBounded(s.blob(key), s.limits.Blob); err == nil && artifact.DigestOf(have) == key {
		return nil
	}
	return s.write(ctx, func(artifact.Digest) ([]byte, bool) { return data, true }, []artifact.Digest{key})
}

// File implements Store.
func (s *files) File(_ context.Context, key artifact.Digest) ([]byte, error) {
	data, err := readBounded(s.blob(key), s.limits.Blob)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotFound
	}
	if err == nil && artifact.DigestOf(data) != key {
		err = errors.New("it was changed")
	}
	if err != nil {
		return nil, fmt.Errorf("reading file %s from %s: %w", key, s.dir, err)
	}
	return data, nil
}

// fileType is the type of a file's artifact and of its only layer.
const fileType = "application/vnd.mesh-compile.file.v1"

// PutFile implements Store. A file is an artifact whose tag is its key, so that it
// is kept and removed like a content.
func (s *registry) PutFile(ctx context.Context, data []byte) (artifact.Digest, error) {
	key := artifact.DigestOf(data)
	if err := s.putFile(ctx, key, data); err != nil {
		return key, fmt.Errorf("storing file %s in %s: %w", key, s.repo.Reference, err)
	}
	return key, nil
}

func (s *registry) putFile(ctx context.Context, key artifact.Digest, data []byte) error {
	if most := artifact.DefaultLimits.Blob; int64(len(data)) > most {
		return fmt.Errorf("%d bytes, at most %d are kept", len(data), most)
	}
	_, err := s.repo.Resolve(ctx, tag(key))
	if err == nil || !errors.Is(err, errdef.ErrNotFound) {
		return err
	}
	layer, err := pushBlob(ctx, s.repo, content.NewDescriptorFromBytes(fileType, data), data)
	if err != nil {
		return err
	}
	_, err = pushTyped(ctx, s.repo, fileType, tag(key), []ocispec.Descriptor{layer}, nil)
	return err
}

// File implements Store. The tag says that the file is there; what its manifest says
// is not read, since the key is the digest of the layer.
func (s *registry) File(ctx context.Context, key artifact.Digest) ([]byte, error) {
	data, err := s.file(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("reading file %s from %s: %w", key, s.repo.Reference, err)
	}
	return data, nil
}

func (s *registry) file(ctx context.Context, key artifact.Digest) ([]byte, error) {
	_, err := s.repo.Resolve(ctx, tag(key))
	var desc ocispec.Descriptor
	if err == nil {
		desc, err = s.repo.Blobs().Resolve(ctx, key.String())
	}
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if most := artifact.DefaultLimits.Blob; desc.Size > most {
		return nil, fmt.Errorf("%d bytes, at most %d are read", desc.Size, most)
	}
	body, err := s.repo.Blobs().Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := content.ReadAll(body, desc)
	if err == nil && artifact.DigestOf(data) != key {
		err = errors.New("it was changed")
	}
	return data, err
}
