package artifact

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteDifference writes a layer like [Release.WriteTar]'s that leaves out the
// blobs that a reader has, and has no envelope: what it costs follows what
// changed.
func (r *Release) WriteDifference(w io.Writer, has func(Digest) bool) error {
	files := []file{{ManifestFile, r.manifest}}
	for d, data := range r.blobs {
		if !has(d) {
			files = append(files, file{blobFile(d), data})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return writeTar(w, files)
}

// A Layer is the files of one tar+gzip layer, whole or a difference. Names and
// sizes are checked; digests are when a release is made of them, by [Assemble].
type Layer struct{ files map[string][]byte }

// ReadLayer reads what [Release.WriteTar] and [Release.WriteDifference] write.
func ReadLayer(r io.Reader, limits Limits) (*Layer, error) {
	in, err := readTar(r, limits)
	if err != nil {
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	return &Layer{in.files}, nil
}

// Manifest returns the manifest, nil where there is none.
func (l *Layer) Manifest() []byte { return l.files[ManifestFile] }

// Envelope returns the signed document, nil where there is none.
func (l *Layer) Envelope() []byte { return l.files[EnvelopeFile] }

// Blob returns the blob that is called d.
func (l *Layer) Blob(d Digest) ([]byte, bool) {
	data, ok := l.files[blobFile(d)]
	return data, ok
}
