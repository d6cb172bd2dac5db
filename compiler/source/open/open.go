// Package open turns what a user names into files: a directory, a file, "-" for
// standard input, a git revision, or a tar archive.
//
// In: a PATH of the command line. Out: an fs.FS of policy files, with the commit
// and tree where git knows them. Archives and revisions are read into memory
// within limits; nothing is written, nothing outside the named place is read,
// and the network is never used.
package open

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// Tree is an opened PATH.
type Tree struct {
	FS       fs.FS
	Name     string // as a person would name it: "policies", "main:policies", "standard input"
	Commit   string // git only: the commit's hash
	TreeHash string // git only: the hash of the tree or file that was read
	// Dir is the place of FS, so that a file of it can be opened from the current
	// directory as Dir/name; "" on standard input. In a git revision it counts
	// from the top of the repository.
	Dir string

	close func() error
}

// Close releases the directory that Tree.FS reads from.
func (t *Tree) Close() error {
	if t.close == nil {
		return nil
	}
	return t.close()
}

// StdinName is the file name of what came on standard input.
const StdinName = "stdin.yaml"

// Limits of what is read into memory. A file beyond maxFile is kept one byte too
// long, so that the loader reports it at its place and goes on with the others.
const (
	maxFiles = 100_000
	maxFile  = 8 << 20
	maxTotal = 512 << 20
)

// Open opens a PATH: a directory, a policy file, "-", "git:REV" or
// "git:REV:path" of the repository around the current directory, or a tar
// archive, which may be compressed with gzip.
func Open(ctx context.Context, path string, stdin io.Reader) (*Tree, error) {
	if path == "-" {
		return stream("standard input", stdin)
	}
	if spec, ok := strings.CutPrefix(path, "git:"); ok {
		rev, sub, _ := strings.Cut(spec, ":")
		return Git(ctx, ".", rev, sub)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("opening the policy repository: %w", err)
	case info.IsDir():
		return directory(path)
	case !info.Mode().IsRegular():
		return device(path)
	case isTar(path):
		return archive(path)
	case source.IsPolicyFile(filepath.ToSlash(path)):
		return file(path)
	}
	return nil, fmt.Errorf("opening %s: want a directory, a .yaml, .yml, .json or .cue file, a .tar or .tar.gz archive, - or git:REV", path)
}

// directory reads below path only: os.Root refuses links that lead out.
func directory(path string) (*Tree, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening the policy repository: %w", err)
	}
	name := filepath.ToSlash(filepath.Clean(path))
	return &Tree{FS: root.FS(), Name: name, Dir: name, close: root.Close}, nil
}

// file opens one file, and the kustomization beside it, which may say its
// namespace.
func file(path string) (*Tree, error) {
	m := newMemory()
	if err := m.addFile(path); err != nil {
		return nil, err
	}
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		beside := filepath.Join(filepath.Dir(path), name)
		if beside == filepath.Clean(path) {
			continue
		}
		if err := m.addFile(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return m.treeAt(filepath.ToSlash(path), filepath.ToSlash(filepath.Dir(path)))
}

func (m *memory) addFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening a policy file: %w", err)
	}
	defer f.Close()
	return m.add(filepath.Base(path), f)
}

// device reads a pipe, such as a shell's process substitution, like standard
// input.
func device(path string) (*Tree, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the policy repository: %w", err)
	}
	defer f.Close()
	return stream(path, f)
}

func stream(name string, r io.Reader) (*Tree, error) {
	m := newMemory()
	if err := m.add(StdinName, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return m.tree(name)
}
