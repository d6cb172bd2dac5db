package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mesh-compile/mesh-compile/compiler/durable"
)

// Write writes the release as the directory dir. It is written beside dir,
// made durable, and then renamed, so that a reader finds a whole release or,
// for the instant between two renames, none.
// dir may hold an earlier release, which is replaced, and whose unchanged
// blobs are linked and not written again; anything else in dir is an error.
func (r *Release) Write(dir string) error {
	if err := r.write(filepath.Clean(dir)); err != nil {
		return fmt.Errorf("writing release: %w", err)
	}
	return nil
}

func (r *Release) write(dir string) error {
	if err := replaceable(dir); err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) // nothing is left there after the rename
	next := filepath.Join(temp, "next")
	if err := r.fill(next, dir); err != nil {
		return err
	}
	// A directory cannot replace one that is not empty; the earlier release
	// is moved out of the way, and back if the second rename fails.
	last := filepath.Join(temp, "last")
	if err := os.Rename(dir, last); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(next, dir); err != nil {
		return errors.Join(err, restore(last, dir))
	}
	return durable.SyncDir(parent)
}

func restore(last, dir string) error {
	if err := os.Rename(last, dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// replaceable refuses to write over a directory that holds anything but a
// release.
func replaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case ManifestFile, EnvelopeFile, "blobs":
		default:
			return fmt.Errorf("%s holds %q, which is not part of a release: name an empty directory", dir, e.Name())
		}
	}
	return nil
}

// fill writes the release's files below next and makes them durable.
func (r *Release) fill(next, earlier string) error {
	blobs := filepath.Join(next, filepath.FromSlash(blobDir))
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(next, 0o755); err != nil {
		return err
	}
	for _, f := range r.files() {
		name := filepath.FromSlash(f.name)
		if err := place(filepath.Join(next, name), filepath.Join(earlier, name), f.data); err != nil {
			return err
		}
	}
	return durable.SyncTree(next)
}

// place links the earlier file when it has the same bytes, so that successive
// releases share their blocks on disk, and writes it otherwise.
func place(name, earlier string, data []byte) error {
	if old, err := os.ReadFile(earlier); err == nil && bytes.Equal(old, data) {
		if os.Link(earlier, name) == nil {
			return nil
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
