package artifact

import (
	"fmt"
	"iter"
	"maps"
)

// Assemble returns the release that a manifest names. What prev, which may be
// nil, holds is taken from it, and neither asked for nor hashed again. Every
// other blob comes from get, once, and must have the digest asked for. The
// result is what [Read] would return of the same blobs, without an envelope.
func Assemble(manifest []byte, prev *Release, limits Limits, get func(Digest) ([]byte, error)) (*Release, error) {
	r, err := assemble(manifest, prev, limits, get)
	if err != nil {
		return nil, fmt.Errorf("reading release: %w", err)
	}
	return r, nil
}

func assemble(manifest []byte, prev *Release, limits Limits, get func(Digest) ([]byte, error)) (*Release, error) {
	if int64(len(manifest)) > limits.Index {
		return nil, fmt.Errorf("manifest: more than the %d bytes allowed", limits.Index)
	}
	m, err := DecodeManifest(manifest)
	if err != nil {
		return nil, err
	}
	in := intake{limits: limits, total: int64(len(manifest)), files: map[string][]byte{ManifestFile: manifest}}
	b := NewBuilder(prev)
	b.get = func(d Digest) ([]byte, error) { return in.fetch(d, get) }
	r, err := b.buildManifest(m)
	if err != nil {
		return nil, err
	}
	return r, in.compareManifest(m, r)
}

// buildManifest builds the release that a manifest describes, of what the
// builder knows.
func (b *Builder) buildManifest(m Manifest) (*Release, error) {
	b.leaves, b.known.inputs = m.Leaves, m.Inputs
	b.known.shared, b.known.aux = m.Shared, m.Aux
	return b.Build()
}

// fetch gets one blob within the limits and checks it against its name.
func (in *intake) fetch(d Digest, get func(Digest) ([]byte, error)) ([]byte, error) {
	if in.fetched++; in.fetched > in.limits.Files {
		return nil, fmt.Errorf("the release has more than %d files", in.limits.Files)
	}
	data, err := get(d)
	if err != nil {
		return nil, err
	}
	in.total += int64(len(data))
	if int64(len(data)) > in.limits.Blob || in.total > in.limits.Total {
		return nil, &BlobError{Digest: d, Reason: BlobSize, Err: fmt.Errorf("%d bytes, after %d of others", len(data), in.total-int64(len(data)))}
	}
	if got := DigestOf(data); got != d {
		return nil, &BlobError{Digest: d, Reason: BlobDigest, Err: fmt.Errorf("the content has digest %s", got)}
	}
	return data, nil
}

// Blobs returns every blob of the release, in no order. They must not be
// changed.
func (r *Release) Blobs() iter.Seq2[Digest, []byte] { return maps.All(r.blobs) }

// Len returns the number of blobs.
func (r *Release) Len() int { return len(r.blobs) }
