package open

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

func isTar(name string) bool {
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

func archive(name string) (*Tree, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the policy archive: %w", err)
	}
	defer f.Close()
	m := newMemory()
	if err := m.tar(f); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return m.treeAt(filepath.ToSlash(name), filepath.ToSlash(filepath.Clean(name)))
}

// maxArchive bounds an archive once decompressed, files that are skipped
// included.
const maxArchive = 2 << 30

// tar reads the policy files of an archive, which may be compressed.
func (m *memory) tar(r io.Reader) error {
	in := bufio.NewReader(r)
	var plain io.Reader = in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		plain = z
	}
	t := tar.NewReader(&bounded{r: plain, left: maxArchive})
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.tarEntry(h, t); err != nil {
			return err
		}
	}
}

func (m *memory) tarEntry(h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
		return fmt.Errorf("entry %q leads out of the archive", h.Name)
	}
	if h.Typeflag == tar.TypeDir || !wanted(name) {
		return nil
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return m.add(name, r)
	case tar.TypeSymlink:
		return m.link(name, h.Linkname)
	}
	return fmt.Errorf("entry %s is neither a file nor a symbolic link", name)
}

// bounded fails, and does not just end, after left bytes.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the archive holds more than %d bytes", int64(maxArchive))
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
