package reconcile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mesh-compile/mesh-compile/controller/gate"
)

// How many connections the server of archives has at most, and of one address. Flux's
// controllers read one archive each at a time.
const maxReaders, maxPerAddress = 128, 16

// Archives serves what ExternalArtifacts name: the last archives that were published
// and nothing else, from memory. A process that begins anew has none, and makes the
// same bytes of the same policies.
type Archives struct {
	// URL that the Service gives the server.
	URL string

	mu    sync.Mutex
	files []archive // newest last
}

type archive struct {
	path string // on the server, without a slash before it
	data []byte
}

// keptArchives are so many because who was told of the last but one may still be at it.
const keptArchives = 2

// NewArchives has nothing to serve yet.
func NewArchives(url string) *Archives { return &Archives{URL: strings.TrimSuffix(url, "/")} }

// Server is one for an address.
func (s *Archives) Server(address string) *http.Server {
	return &http.Server{
		Addr: address, Handler: s, MaxHeaderBytes: 8 << 10, ConnState: gate.New(maxReaders, maxPerAddress).State,
		ReadTimeout: 10 * time.Second, WriteTimeout: readWithin, IdleTimeout: 10 * time.Second,
	}
}

// ServeHTTP serves an archive.
func (s *Archives) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "archives are only read", http.StatusMethodNotAllowed)
		return
	}
	data, ok := s.get(strings.TrimPrefix(r.URL.Path, "/"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method == http.MethodGet {
		send(w, data)
	}
}

// A reader takes each part within a time, and everything within another.
const (
	partSize   = 64 << 10
	partWithin = 5 * time.Second
	readWithin = time.Minute
)

// send writes an archive to who keeps on reading it.
func send(w http.ResponseWriter, data []byte) {
	control, end := http.NewResponseController(w), time.Now().Add(readWithin)
	for part := range slices.Chunk(data, partSize) {
		within := time.Now().Add(partWithin)
		if within.After(end) {
			within = end
		}
		if control.SetWriteDeadline(within) != nil {
			return
		}
		if _, err := w.Write(part); err != nil {
			return // who reads it has gone
		}
		if control.Flush() != nil { // else the last of it has no deadline of its own
			return
		}
	}
}

func (s *Archives) get(path string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.index(path)
	if i < 0 {
		return nil, false
	}
	return s.files[i].data, true
}

func (s *Archives) index(path string) int {
	return slices.IndexFunc(s.files, func(a archive) bool { return a.path == path })
}

// put serves an archive, in the place of the oldest.
func (s *Archives) put(path string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.index(path); i >= 0 {
		s.files = slices.Delete(s.files, i, i+1)
	}
	s.files = append(s.files, archive{path, data})
	s.files = slices.Delete(s.files, 0, max(0, len(s.files)-keptArchives))
}

// pack makes the archive of one file: the same text gives the same bytes.
func pack(name string, text []byte) ([]byte, error) {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = w.Write(text)
	}
	err = errors.Join(err, w.Close(), zip.Close())
	return out.Bytes(), err
}
