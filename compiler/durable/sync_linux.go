package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SyncTree makes the files below dir durable. One syncfs takes as long as one
// fsync, and a release has thousands of files.
func SyncTree(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
