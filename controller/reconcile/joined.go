package reconcile

import (
	"io/fs"
	"strings"
	"testing/fstest"
)

// joined is several trees as directories of one.
type joined map[string]fs.FS

// Open implements fs.FS.
func (j joined) Open(name string) (fs.File, error) {
	if name == "." {
		root := fstest.MapFS{}
		for dir := range j {
			root[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o555}
		}
		return root.Open(".")
	}
	dir, rest, found := strings.Cut(name, "/")
	tree, ok := j[dir]
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !found:
		rest = "."
	}
	return tree.Open(rest)
}
