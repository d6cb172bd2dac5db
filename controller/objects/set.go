package objects

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing/fstest"
)

// A Set is objects as files. It never changes: With and Without return another that
// shares nearly everything, so that they, and Changes, cost what they change.
type Set struct{ files *tree }

// NewSet returns a set of nothing.
func NewSet() *Set { return &Set{} }

// Len returns how many objects there are.
func (s *Set) Len() int { return s.files.len() }

// Get returns an object's file. The caller must not change it.
func (s *Set) Get(name string) ([]byte, bool) {
	if t := s.files.get(name); t != nil {
		return t.data, true
	}
	return nil, false
}

// Paths returns the names of all files, sorted.
func (s *Set) Paths() []string {
	out := make([]string, 0, s.Len())
	s.files.from("", func(t *tree) bool {
		out = append(out, t.name)
		return true
	})
	return out
}

// With returns a set that has an object too, or another version of it.
func (s *Set) With(name string, data []byte) *Set { return &Set{s.files.with(name, data)} }

// Without returns a set that does not have an object.
func (s *Set) Without(name string) *Set {
	if s.files.get(name) == nil {
		return s
	}
	return &Set{s.files.without(name)}
}

// Filter returns a set of the objects that are to be kept.
func (s *Set) Filter(keep func(name string) bool) *Set { return &Set{s.files.filter(keep)} }

// Changes implements load.Versioned.
func (s *Set) Changes(since fs.FS) (names []string, ok bool) {
	old, ok := since.(*Set)
	if !ok {
		return nil, false
	}
	return differ(old.files, s.files, nil), true
}

// Open implements fs.FS.
func (s *Set) Open(name string) (fs.File, error) {
	if t := s.files.get(name); t != nil {
		return fstest.MapFS{name: file(t)}.Open(name)
	}
	if files := s.directory(name); name == "." || len(files) > 0 {
		return files.Open(name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadFile implements fs.ReadFileFS.
func (s *Set) ReadFile(name string) ([]byte, error) {
	data, ok := s.Get(name)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return slices.Clone(data), nil
}

// directory holds the files of a namespace, or for "." an entry for each.
func (s *Set) directory(name string) fstest.MapFS {
	out := fstest.MapFS{}
	if name != "." {
		s.files.from(name+"/", func(t *tree) bool {
			inside := strings.HasPrefix(t.name, name+"/")
			if inside {
				out[t.name] = file(t)
			}
			return inside
		})
		return out
	}
	for at := ""; ; {
		next := ""
		s.files.from(at, func(t *tree) bool { next = path.Dir(t.name); return false })
		if next == "" {
			return out
		}
		out[next] = &fstest.MapFile{Mode: fs.ModeDir | 0o555}
		at = next + "0" // after "/"
	}
}

func file(t *tree) *fstest.MapFile { return &fstest.MapFile{Data: t.data, Mode: 0o444} }
