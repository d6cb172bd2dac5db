package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
)

// Push puts a release and its envelope into a registry as one artifact with one
// layer, under the tag that the URL ends in: oci://host/repository:tag. It returns
// the artifact's digest, "sha256:...", which is the same for the same release and
// annotations.
func Push(ctx context.Context, rawURL string, r *artifact.Release, annotations map[string]string) (string, error) {
	digest, err := push(ctx, rawURL, r, annotations)
	if err != nil {
		return "", fmt.Errorf("pushing to %s: %w", rawURL, err)
	}
	return digest, nil
}

func push(ctx context.Context, rawURL string, r *artifact.Release, annotations map[string]string) (string, error) {
	repo, err := openRepository(rawURL)
	if err != nil {
		return "", err
	}
	if err := repo.Reference.ValidateReferenceAsTag(); err != nil {
		return "", errors.New("want a tag to put it under: oci://host/repository:tag")
	}
	var whole bytes.Buffer
	if err := r.WriteTar(&whole); err != nil {
		return "", err
	}
	layer, err := pushLayer(ctx, repo, whole.Bytes())
	if err != nil {
		return "", err
	}
	desc, err := pushArtifact(ctx, repo, repo.Reference.Reference, []ocispec.Descriptor{layer}, annotations)
	return desc.Digest.String(), err
}

// Pull reads a release from a registry, with its envelope, by the tag or digest
// that the URL ends in: oci://host/repository:tag or oci://host/repository@sha256:...
// Every digest is checked, no signature is. Blobs that prev, which may be nil, has
// are taken from it. It returns the artifact's digest too.
func Pull(ctx context.Context, rawURL string, prev *artifact.Release) (*artifact.Release, string, error) {
	r, digest, err := pull(ctx, rawURL, prev)
	if err != nil {
		return nil, "", fmt.Errorf("pulling from %s: %w", rawURL, err)
	}
	return r, digest, nil
}

func pull(ctx context.Context, rawURL string, prev *artifact.Release) (*artifact.Release, string, error) {
	repo, err := openRepository(rawURL)
	if err != nil {
		return nil, "", err
	}
	if repo.Reference.Reference == "" {
		return nil, "", errors.New("want a tag (oci://host/repository:tag) or a digest (oci://host/repository@sha256:...)")
	}
	a, err := fetchArtifact(ctx, repo, repo.Reference.Reference, artifact.DefaultLimits)
	if err != nil {
		return nil, "", err
	}
	r, err := a.release(ctx, prev)
	return r, a.digest.String(), err
}

// Resolve returns the digest that a tag has now, of oci://host/repository:tag, without
// reading what it names.
func Resolve(ctx context.Context, rawURL string) (string, error) {
	repo, err := openRepository(rawURL)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", rawURL, err)
	}
	desc, err := repo.Resolve(ctx, repo.Reference.Reference)
	if errors.Is(err, errdef.ErrNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", rawURL, err)
	}
	return desc.Digest.String(), nil
}
