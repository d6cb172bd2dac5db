// Package durable writes files that are there whole or not at all, and that are
// still there after a power failure.
//
// In go names and bytes. It never decides what is kept, and locks nothing.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// ReplaceFile writes a file beside name, makes it durable and renames it to name.
// A reader finds the old content or the new.
func ReplaceFile(name string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// SyncDir makes the names in a directory durable: files that were made, renamed
// or removed.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
