package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/mesh-compile/mesh-compile/compiler/diag"
	"github.com/mesh-compile/mesh-compile/compiler/parallel"
	"github.com/mesh-compile/mesh-compile/compiler/source"
)

type file struct {
	path   string
	data   []byte
	digest [sha256.Size]byte
}

// walk lists the files to read. Hidden directories hold tools and caches.
func (l *loader) walk() []string {
	var found []string
	err := fs.WalkDir(l.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.diags.Errorf(CodeRead, source.Span{File: name}, "reading %s: %v", name, err)
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			if name != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		case !source.IsPolicyFile(name):
			l.linkedDirectory(name, d)
			return nil
		case len(found) == l.limits.Files:
			l.diags.Errorf(CodeLimit, source.Span{File: name}, "more than %d files: this and later ones are not read", l.limits.Files)
			return fs.SkipAll
		}
		found = append(found, name)
		return nil
	})
	if err != nil {
		l.diags.Errorf(CodeRead, source.Span{File: "."}, "listing the repository: %v", err)
	}
	return l.withoutCharts(found)
}

// linkedDirectory says that a link to a directory is not followed, since it may
// lead in a circle.
func (l *loader) linkedDirectory(name string, d fs.DirEntry) {
	if d.Type()&fs.ModeSymlink == 0 || strings.HasPrefix(d.Name(), ".") {
		return
	}
	if info, err := fs.Stat(l.fsys, name); err == nil && info.IsDir() {
		l.diags.Warnf(CodeRead, source.Span{File: name}, "this link to a directory is not followed: move the directory here or pass it by itself")
	}
}

// withoutCharts leaves out the templates of Helm charts, which are not YAML
// until they are rendered.
func (l *loader) withoutCharts(found []string) []string {
	charts := map[string]bool{}
	for _, name := range found {
		if path.Base(name) == "Chart.yaml" {
			charts[path.Dir(name)] = true
		}
	}
	if len(charts) == 0 {
		return found
	}
	skipped := map[string]int{}
	found = slices.DeleteFunc(found, func(name string) bool {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if path.Base(dir) == "templates" && charts[path.Dir(dir)] {
				skipped[path.Dir(dir)]++
				return true
			}
		}
		return false
	})
	for chart, n := range skipped {
		l.diags.Add(CodeUnrendered, diag.Info, source.Span{File: path.Join(chart, "Chart.yaml")},
			"the templates of this Helm chart (%d files) are not read: render them with helm template and commit or pipe the output", n)
	}
	return found
}

// readAll reads and digests files in parallel, in order of name.
func (l *loader) readAll(names []string) []*file {
	slices.Sort(names)
	files := make([]*file, len(names))
	errs := make([]error, len(names))
	parallel.Do(len(names), 1, func(i int) {
		data, err := l.readFile(names[i])
		if err != nil {
			errs[i] = err
			return
		}
		files[i] = &file{path: names[i], data: data, digest: sha256.Sum256(data)}
	})
	var total int64
	kept := files[:0]
	for i, f := range files {
		if errs[i] != nil {
			code := CodeRead
			if errors.Is(errs[i], errTooLarge) {
				code = CodeLimit
			}
			l.diags.Errorf(code, source.Span{File: names[i]}, "reading %s: %v", names[i], errs[i])
			continue
		}
		if total += int64(len(f.data)); total > l.limits.TotalBytes {
			l.diags.Errorf(CodeLimit, source.Span{File: names[i]}, "more than %d bytes in all: this and later files are not read", l.limits.TotalBytes)
			break
		}
		l.out.Files = append(l.out.Files, FileInfo{f.path, hex.EncodeToString(f.digest[:]), int64(len(f.data))})
		kept = append(kept, f)
	}
	return kept
}

var errTooLarge = errors.New("too large")

func (l *loader) readFile(name string) ([]byte, error) {
	f, err := l.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	var b bytes.Buffer
	b.Grow(int(min(info.Size(), l.limits.FileBytes)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, l.limits.FileBytes+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > l.limits.FileBytes {
		return nil, fmt.Errorf("%w: the limit is %d bytes a file", errTooLarge, l.limits.FileBytes)
	}
	return b.Bytes(), nil
}
