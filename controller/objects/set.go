package objects

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing/fstest"
	"time"
)

// A Set is objects as files. It never changes: With and Without return another,
// and cost what one namespace holds.
type Set struct {
	dirs map[string]map[string][]byte // directory -> file -> content
	n    int
}

// NewSet returns a set of nothing.
func NewSet() *Set { return &Set{dirs: map[string]map[string][]byte{}} }

// Len returns how many objects there are.
func (s *Set) Len() int { return s.n }

// Get returns an object's file. The caller must not change it.
func (s *Set) Get(name string) ([]byte, bool) {
	dir, file := path.Split(name)
	data, ok := s.dirs[strings.TrimSuffix(dir, "/")][file]
	return data, ok
}

// Paths returns the names of all files, sorted.
func (s *Set) Paths() []string {
	out := make([]string, 0, s.n)
	for dir, files := range s.dirs {
		for file := range files {
			out = append(out, dir+"/"+file)
		}
	}
	slices.Sort(out)
	return out
}

// With returns a set that has an object too, or another version of it.
func (s *Set) With(name string, data []byte) *Set {
	out, files, file := s.edit(name)
	if _, had := files[file]; !had {
		out.n++
	}
	files[file] = data
	return out
}

// Without returns a set that does not have an object.
func (s *Set) Without(name string) *Set {
	if _, ok := s.Get(name); !ok {
		return s
	}
	out, files, file := s.edit(name)
	delete(files, file)
	out.n--
	return out
}

// edit returns a set that shares everything with s but the directory of a file.
func (s *Set) edit(name string) (out *Set, files map[string][]byte, file string) {
	dir, file := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	out = &Set{dirs: maps.Clone(s.dirs), n: s.n}
	if files = maps.Clone(s.dirs[dir]); files == nil {
		files = map[string][]byte{}
	}
	out.dirs[dir] = files
	return out, files, file
}

// Open implements fs.FS.
func (s *Set) Open(name string) (fs.File, error) {
	if data, ok := s.Get(name); ok {
		return fstest.MapFS{name: s.file(data)}.Open(name)
	}
	if files, ok := s.dirs[name]; ok || name == "." {
		return s.directory(name, files).Open(name)
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

func (s *Set) directory(name string, files map[string][]byte) fstest.MapFS {
	out := fstest.MapFS{}
	if name == "." {
		for dir := range s.dirs {
			out[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o555}
		}
		return out
	}
	for file, data := range files {
		out[name+"/"+file] = s.file(data)
	}
	return out
}

func (s *Set) file(data []byte) *fstest.MapFile {
	return &fstest.MapFile{Data: data, Mode: 0o444, ModTime: time.Time{}}
}
