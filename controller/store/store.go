package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// A Store keeps the contents of releases by their keys. Any number of processes
// may use one; all methods may be called at once.
type Store interface {
	// Put stores the content of a release, without its envelope. It returns when
	// the content is there to stay; a Put that does not come to its end leaves
	// nothing that a reader sees.
	Put(ctx context.Context, r *artifact.Release) error
	// Get returns the content with a key. Blobs that prev, which may be nil, has are
	// taken from it. The error is ErrNotFound where there is no such content.
	Get(ctx context.Context, key artifact.Digest, prev *artifact.Release) (*artifact.Release, error)
	// PutFile stores bytes that are no content, such as what a release was made of,
	// and returns their digest. It returns when they are there to stay.
	PutFile(ctx context.Context, data []byte) (artifact.Digest, error)
	// File returns bytes that PutFile stored, checked against their digest. The error
	// is ErrNotFound where there are none.
	File(ctx context.Context, key artifact.Digest) ([]byte, error)
	// Keep removes every content and file but those with these keys.
	Keep(ctx context.Context, keys []artifact.Digest) error
}

// ErrNotFound says that a store has no content with a key.
var ErrNotFound = errors.New("there is no such content")

// Key returns the name of a release's content in a store. It is the same whether
// the release is signed or not.
func Key(r *artifact.Release) artifact.Digest { return r.Digest() }

// Open returns the store at a URL: "file:///directory", or "oci://host/repository"
// with "?insecure=true" for a registry that speaks plain HTTP. Nothing is asked of
// the registry, and no directory is made, before the store is used.
func Open(rawURL string) (Store, error) {
	s, err := open(rawURL)
	if err != nil {
		return nil, fmt.Errorf("release store %q: %w", rawURL, err)
	}
	return s, nil
}

func open(rawURL string) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" {
			return nil, errors.New("want file:// and an absolute path: file:///var/lib/mesh-compile")
		}
		return openFiles(filepath.Clean(u.Path)), nil
	case ociScheme:
		repo, err := openRepository(rawURL)
		if err != nil {
			return nil, err
		}
		if repo.Reference.Reference != "" {
			return nil, errors.New("want a repository without a tag: contents have tags of their own")
		}
		return &registry{repo: repo}, nil
	}
	return nil, errors.New("want file:///directory or oci://host/repository")
}
