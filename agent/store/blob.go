package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Blob returns the blob with digest d. It implements artifact.Source: the bytes
// are not hashed here, because those who read a release do.
func (s *Store) Blob(d artifact.Digest) ([]byte, bool) {
	data, err := os.ReadFile(s.path(filepath.Join(blobDir, d.Hex())))
	return data, err == nil
}

// PutBlob makes a blob durable.
func (s *Store) PutBlob(data []byte) error {
	name := filepath.Join(blobDir, artifact.DigestOf(data).Hex())
	if unchanged(s.path(name), data) {
		return nil
	}
	if err := s.write(name, data); err != nil {
		return fmt.Errorf("writing blob %s: %w", artifact.DigestOf(data), err)
	}
	return nil
}

// Sweep removes the blobs that are not kept, and what a crash left half
// written.
func (s *Store) Sweep(keep map[artifact.Digest]bool) error {
	entries, err := os.ReadDir(s.path(blobDir))
	if err != nil {
		return fmt.Errorf("removing old blobs: %w", err)
	}
	for _, e := range entries {
		d, err := artifact.ParseDigest("sha256:" + e.Name())
		if (err == nil && keep[d]) || (err != nil && !strings.HasPrefix(e.Name(), ".new-")) {
			continue
		}
		if err := os.Remove(s.path(filepath.Join(blobDir, e.Name()))); err != nil {
			return fmt.Errorf("removing old blobs: %w", err)
		}
	}
	return nil
}
