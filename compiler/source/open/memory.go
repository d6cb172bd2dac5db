package open

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mesh-compile/mesh-compile/compiler/source"
)

// memory is a read-only file system in memory.
type memory struct {
	files map[string]*entry
	links map[string]string
	dirs  map[string][]fs.DirEntry
	total int64
}

func newMemory() *memory {
	return &memory{files: map[string]*entry{}, links: map[string]string{}, dirs: map[string][]fs.DirEntry{}}
}

// wanted reports whether a file of this name is kept: hidden directories hold
// tools and caches.
func wanted(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if strings.HasPrefix(path.Base(dir), ".") {
			return false
		}
	}
	return source.IsPolicyFile(name)
}

// add reads one file.
func (m *memory) add(name string, r io.Reader) error {
	if err := m.check(name); err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if m.total += int64(len(data)); m.total > maxTotal {
		return fmt.Errorf("reading %s: more than %d bytes of policy files", name, maxTotal)
	}
	m.files[name] = &entry{name: path.Base(name), data: data}
	return nil
}

// link notes a symbolic link; tree resolves it.
func (m *memory) link(name, target string) error {
	if err := m.check(name); err != nil {
		return err
	}
	m.links[name] = target
	return nil
}

func (m *memory) check(name string) error {
	_, file := m.files[name]
	_, link := m.links[name]
	switch {
	case !fs.ValidPath(name) || name == ".":
		return fmt.Errorf("reading %q: this is no path inside the repository", name)
	case file || link:
		return fmt.Errorf("reading %s: this file stands twice in the archive", name)
	case len(m.files)+len(m.links) >= maxFiles:
		return fmt.Errorf("reading %s: more than %d policy files", name, maxFiles)
	}
	return nil
}

func (m *memory) treeAt(name, dir string) (*Tree, error) {
	t, err := m.tree(name)
	if err == nil {
		t.Dir = dir
	}
	return t, err
}

// tree resolves the links and indexes the directories. A link that leads
// nowhere fails when it is opened, like one on disk.
func (m *memory) tree(name string) (*Tree, error) {
	for from, target := range m.links {
		data, err := m.resolve(from, target)
		m.files[from] = &entry{name: path.Base(from), data: data, err: err}
	}
	if err := m.index(); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return &Tree{FS: m, Name: name}, nil
}

func (m *memory) resolve(from, target string) ([]byte, error) {
	name := from
	for range 16 {
		joined := path.Join(path.Dir(name), target)
		if path.IsAbs(target) || !fs.ValidPath(joined) {
			return nil, fmt.Errorf("the link leads to %s, out of the repository", target)
		}
		name = joined
		next, ok := m.links[name]
		if !ok {
			break
		}
		target = next
	}
	if f := m.files[name]; f != nil {
		return f.data, f.err
	}
	return nil, fmt.Errorf("the link leads to %s, which is no policy file here", target)
}

func (m *memory) index() error {
	m.dirs["."] = nil
	for name := range m.files {
		if err := m.mkdir(path.Dir(name)); err != nil {
			return err
		}
	}
	for name, f := range m.files {
		m.dirs[path.Dir(name)] = append(m.dirs[path.Dir(name)], f)
	}
	for _, list := range m.dirs {
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return nil
}

func (m *memory) mkdir(dir string) error {
	if _, ok := m.dirs[dir]; ok {
		return nil
	}
	if m.files[dir] != nil {
		return fmt.Errorf("%s is a file and a directory", dir)
	}
	if err := m.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	m.dirs[dir] = nil
	m.dirs[path.Dir(dir)] = append(m.dirs[path.Dir(dir)], &entry{name: path.Base(dir), dir: true})
	return nil
}

// Open implements fs.FS.
func (m *memory) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if f := m.files[name]; f != nil {
		if f.err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: f.err}
		}
		return &openFile{entry: f, Reader: bytes.NewReader(f.data)}, nil
	}
	if list, ok := m.dirs[name]; ok {
		return &openDir{entry: &entry{name: path.Base(name), dir: true}, rest: list}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// entry is a file or directory: its own fs.FileInfo and fs.DirEntry.
type entry struct {
	name string
	data []byte
	dir  bool
	err  error // of a link that leads nowhere
}

func (e *entry) Name() string               { return e.name }
func (e *entry) Size() int64                { return int64(len(e.data)) }
func (e *entry) ModTime() time.Time         { return time.Time{} }
func (e *entry) IsDir() bool                { return e.dir }
func (e *entry) Sys() any                   { return nil }
func (e *entry) Info() (fs.FileInfo, error) { return e, nil }
func (e *entry) Type() fs.FileMode          { return e.Mode().Type() }
func (e *entry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	*entry
	*bytes.Reader
}

// Size of both embedded types is the same.
func (f *openFile) Size() int64                { return f.entry.Size() }
func (f *openFile) Stat() (fs.FileInfo, error) { return f.entry, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	*entry
	rest []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.entry, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.rest) {
		n = len(d.rest)
	}
	list := d.rest[:n]
	d.rest = d.rest[n:]
	return list, nil
}
