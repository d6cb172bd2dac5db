package artifact

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"
)

// WriteTar writes the release's directory as one tar+gzip layer: names in
// order, no owner, no time.
func (r *Release) WriteTar(w io.Writer) error { return writeTar(w, r.files()) }

func writeTar(w io.Writer, files []file) error {
	zip := gzip.NewWriter(w) // no name and no time in its header
	out := tar.NewWriter(zip)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o644,
			ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
		if _, err := out.Write(f.data); err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("writing release: %w", err)
	}
	return zip.Close()
}

// ReadTar reads what [Release.WriteTar] writes, as strictly as [Read].
func ReadTar(r io.Reader, limits Limits) (*Release, error) {
	in, err := readTar(r, limits)
	if err != nil {
		return nil, fmt.Errorf("reading release: %w", err)
	}
	return in.release()
}

// readTar collects the files of a layer.
func readTar(r io.Reader, limits Limits) (*intake, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	// What is expanded is bounded as a whole: tar adds a header and padding of
	// less than 1024 bytes to a file.
	plain := io.LimitReader(zip, limits.Total+int64(limits.Files+2)*1024)
	in := intake{limits: limits, files: map[string][]byte{}}
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return &in, nil
		}
		if err == nil {
			err = in.addEntry(header, archive)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (in *intake) addEntry(header *tar.Header, r io.Reader) error {
	switch header.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
		name := path.Clean(header.Name) // others write ./manifest
		if !fs.ValidPath(name) {
			return fmt.Errorf("%.200q: not a path inside the release", header.Name)
		}
		return in.add(name, r)
	default:
		return fmt.Errorf("%.200s: neither a file nor a directory", header.Name)
	}
}

// A file is one file of a release's directory.
type file struct {
	name string
	data []byte
}

// files returns the files in order of their names.
func (r *Release) files() []file {
	out := make([]file, 0, len(r.blobs)+2)
	for d, data := range r.blobs {
		out = append(out, file{blobFile(d), data})
	}
	out = append(out, file{ManifestFile, r.manifest})
	if r.envelope != nil {
		out = append(out, file{EnvelopeFile, r.envelope})
	}
	slices.SortFunc(out, func(a, b file) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return out
}
