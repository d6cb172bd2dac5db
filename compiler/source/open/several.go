package open

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Several opens PATHs as one repository. Files keep their places relative to
// each other: the tree begins at the directory that all of them share. A git
// revision has no place beside files on disk and goes alone.
func Several(ctx context.Context, paths []string, stdin io.Reader) (*Tree, error) {
	if len(paths) == 1 {
		return Open(ctx, paths[0], stdin)
	}
	if err := mergeable(paths); err != nil {
		return nil, err
	}
	s := &several{}
	out := &Tree{FS: s, Name: strings.Join(paths, ", "), close: s.Close}
	if err := s.mount(ctx, paths, stdin); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	var err error
	if out.Dir, err = s.rebase(); err == nil {
		err = s.hidden()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return out, nil
}

// hidden refuses a file that would stand behind standard input, or before it.
func (s *several) hidden() error {
	for _, m := range s.mounts {
		if m.tree.Dir != "" {
			continue
		}
		name := path.Join(m.dir, StdinName)
		for _, other := range s.mounts {
			inner, ok := other.inner(name)
			if !ok || other.tree == m.tree {
				continue
			}
			if _, err := fs.Stat(other.tree.FS, inner); err == nil {
				return fmt.Errorf("%s is there, and standard input would be read under its name: rename it", name)
			}
		}
	}
	return nil
}

func mergeable(paths []string) error {
	for i, p := range paths {
		if strings.HasPrefix(p, "git:") {
			return fmt.Errorf("%s: a git revision is read alone, not beside other paths", p)
		}
		for _, q := range paths[:i] {
			if p == "-" || q == "-" {
				if p == q {
					return errors.New("standard input (-) can be read once")
				}
				continue
			}
			if within(p, q) || within(q, p) {
				return fmt.Errorf("%s and %s overlap: name the outer one alone", q, p)
			}
		}
	}
	return nil
}

func within(inner, outer string) bool {
	rel, err := filepath.Rel(outer, inner)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// several is the union of trees, each below a directory of its own or shared
// with others. Where two hold the same file, the first has it.
type several struct{ mounts []mount }

type mount struct {
	dir  string // absolute at first; then relative to the common directory
	tree *Tree
}

func (s *several) Close() error {
	var errs []error
	for _, m := range s.mounts {
		errs = append(errs, m.tree.Close())
	}
	return errors.Join(errs...)
}

func (s *several) mount(ctx context.Context, paths []string, stdin io.Reader) error {
	for _, p := range paths {
		tree, err := Open(ctx, p, stdin)
		if err != nil {
			return err
		}
		s.mounts = append(s.mounts, mount{tree: tree})
		dir, err := filepath.Abs(filepath.FromSlash(tree.Dir))
		if err != nil {
			return fmt.Errorf("opening %s: %w", p, err)
		}
		s.mounts[len(s.mounts)-1].dir = dir
	}
	return nil
}

// rebase makes the places relative to the directory that all share, and returns
// that one as seen from the current directory.
func (s *several) rebase() (string, error) {
	common := s.mounts[0].dir
	for _, m := range s.mounts {
		for !within(m.dir, common) {
			common = filepath.Dir(common)
		}
	}
	for i, m := range s.mounts {
		rel, err := filepath.Rel(common, m.dir)
		if err != nil {
			return "", fmt.Errorf("placing %s: %w", m.dir, err)
		}
		s.mounts[i].dir = filepath.ToSlash(rel)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		return "", fmt.Errorf("finding the current directory: %w", err)
	}
	rel, err := filepath.Rel(here, common)
	if err != nil {
		rel = common
	}
	return filepath.ToSlash(rel), nil
}

// Open implements fs.FS.
func (s *several) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	list, err := s.ReadDir(name)
	if err == nil {
		return &openDir{entry: &entry{name: path.Base(name), dir: true}, rest: list}, nil
	}
	for _, m := range s.mounts {
		inner, ok := m.inner(name)
		if !ok {
			continue
		}
		f, err := m.tree.FS.Open(inner)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// inner is name as the mounted tree knows it.
func (m mount) inner(name string) (string, bool) {
	switch m.dir {
	case ".":
		return name, true
	case name:
		return ".", true
	}
	return strings.CutPrefix(name, m.dir+"/")
}

// ReadDir implements fs.ReadDirFS.
func (s *several) ReadDir(name string) ([]fs.DirEntry, error) {
	all := map[string]fs.DirEntry{}
	found := false
	for _, m := range s.mounts {
		if child, ok := m.below(name); ok {
			found = true
			all[child] = &entry{name: child, dir: true}
		}
	}
	for _, m := range s.mounts {
		inner, ok := m.inner(name)
		if !ok {
			continue
		}
		list, err := fs.ReadDir(m.tree.FS, inner)
		if err != nil {
			continue // not a directory there; Open says what it is
		}
		found = true
		for _, e := range list {
			if _, taken := all[e.Name()]; !taken {
				all[e.Name()] = e
			}
		}
	}
	if !found {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	return sorted(all), nil
}

func sorted(all map[string]fs.DirEntry) []fs.DirEntry {
	list := make([]fs.DirEntry, 0, len(all))
	for _, e := range all {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list
}

// below is the entry of directory name on the way to the mounted tree.
func (m mount) below(name string) (string, bool) {
	rest := m.dir
	if name != "." {
		var ok bool
		if rest, ok = strings.CutPrefix(m.dir, name+"/"); !ok {
			return "", false
		}
	}
	child, _, _ := strings.Cut(rest, "/")
	return child, child != "."
}
