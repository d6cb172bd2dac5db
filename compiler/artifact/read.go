package artifact

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
)

// Names in a release's directory.
const (
	ManifestFile = "manifest"
	EnvelopeFile = "release.dsse.json"
	blobDir      = "blobs/sha256"
)

// Limits bound what a reader takes from a stranger.
type Limits struct {
	Files int   // files in all
	Blob  int64 // bytes of one blob
	Index int64 // bytes of the manifest
	Total int64 // bytes in all
}

// DefaultLimits are far above a mesh of 10,000 services.
var DefaultLimits = Limits{Files: 1 << 20, Blob: maxBlobBytes, Index: 256 << 20, Total: 4 << 30}

// maxEnvelopeBytes is the limit of package sign for the same file.
const maxEnvelopeBytes = 64 << 10

// Read reads a release's directory. Every blob has the digest that names it,
// every file is one that the release needs, and the manifest is the one that
// these blobs give. Signatures are not looked at.
func Read(dir fs.FS, limits Limits) (*Release, error) {
	in := intake{limits: limits, files: map[string][]byte{}}
	err := fs.WalkDir(dir, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s: not a regular file", name)
		}
		f, err := dir.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return in.add(name, f)
	})
	if err != nil {
		return nil, fmt.Errorf("reading release: %w", err)
	}
	return in.release()
}

// An intake collects the files of a release, whatever they come in, and keeps
// to the limits.
type intake struct {
	limits Limits
	files  map[string][]byte
	total  int64

	fetched int // blobs that were asked for one by one
}

func (in *intake) add(name string, r io.Reader) error {
	limit, err := in.limit(name)
	if err != nil {
		return err
	}
	if _, ok := in.files[name]; ok {
		return fmt.Errorf("%s: is there twice", name)
	}
	if len(in.files) >= in.limits.Files {
		return fmt.Errorf("%s: the release has more than %d files", name, in.limits.Files)
	}
	limit = min(limit, in.limits.Total-in.total)
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return fmt.Errorf("%s: more than the %d bytes allowed", name, limit)
	}
	in.files[name] = data
	in.total += int64(len(data))
	return nil
}

// limit returns how long the named file may be, and refuses a name that no
// release has.
func (in *intake) limit(name string) (int64, error) {
	switch name {
	case ManifestFile:
		return in.limits.Index, nil
	case EnvelopeFile:
		return maxEnvelopeBytes, nil
	}
	if _, err := blobName(name); err != nil {
		return 0, err
	}
	return in.limits.Blob, nil
}

func blobName(name string) (Digest, error) {
	var d Digest
	dir, base := path.Split(name)
	raw, err := hex.DecodeString(base)
	if err != nil || path.Clean(dir) != blobDir || len(raw) != len(d) || hex.EncodeToString(raw) != base {
		return d, fmt.Errorf("%.200s: no file of a release has this name", name)
	}
	copy(d[:], raw)
	return d, nil
}

func blobFile(d Digest) string { return blobDir + "/" + d.Hex() }

// release makes the release of the files collected.
func (in *intake) release() (*Release, error) {
	r, err := in.build()
	if err != nil {
		return nil, fmt.Errorf("reading release: %w", err)
	}
	return r, nil
}

func (in *intake) build() (*Release, error) {
	index, ok := in.files[ManifestFile]
	if !ok {
		return nil, errors.New("manifest: not there")
	}
	m, err := DecodeManifest(index)
	if err != nil {
		return nil, err
	}
	b := NewBuilder(nil)
	if b.known.blobs, err = in.blobs(); err != nil {
		return nil, err
	}
	r, err := b.buildManifest(m)
	if err != nil {
		return nil, err
	}
	return r.WithEnvelope(in.files[EnvelopeFile]), in.compare(m, r)
}

// blobs checks every blob against its name, in the order of names, so that
// the same fault is always reported first.
func (in *intake) blobs() (map[Digest][]byte, error) {
	out := make(map[Digest][]byte, len(in.files))
	for _, name := range slices.Sorted(maps.Keys(in.files)) {
		d, err := blobName(name)
		if err != nil { // the manifest or the envelope
			continue
		}
		if got := DigestOf(in.files[name]); got != d {
			return nil, fmt.Errorf("%s: %w", name, &BlobError{Digest: d, Reason: BlobDigest, Err: fmt.Errorf("the content has digest %s", got)})
		}
		out[d] = in.files[name]
	}
	return out, nil
}

// compare finds what the manifest claims and the blobs do not give, and blobs
// that nothing names.
func (in *intake) compare(m Manifest, r *Release) error {
	if err := in.compareManifest(m, r); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(in.files)) {
		d, err := blobName(name)
		if err != nil {
			continue
		}
		if _, ok := r.blobs[d]; !ok {
			return fmt.Errorf("%s: nothing in the manifest leads to this blob", name)
		}
	}
	return nil
}

func (in *intake) compareManifest(m Manifest, r *Release) error {
	if got := (Merkle{Alg: MerkleAlg, Size: r.tree.size, Root: r.tree.root}); m.Merkle != got {
		return fmt.Errorf("manifest: merkle is %v, its leaves give %v", m.Merkle, got)
	}
	if d := firstDifference(r.manifest, in.files[ManifestFile]); d != len(r.manifest) || d != len(in.files[ManifestFile]) {
		return fmt.Errorf("manifest: byte %d is not what its leaves give", d)
	}
	return nil
}
