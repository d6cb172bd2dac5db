// Package store keeps on disk what an agent must not lose: the high-water mark,
// the releases it serves and has served, and their blobs.
//
// In go verified bytes; out come the same bytes after any crash. The high-water
// mark and the releases are one file that is replaced as a whole, written and
// made durable before anything is served; blobs are durable before that file
// names them. A file that does not read is an error and never an empty state:
// an agent that forgets its mark can be rolled back.
//
// The package verifies nothing but that a file is what was written.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/sign"
)

// Names of files in the directory.
const (
	lockFile  = "lock"
	stateFile = "state"
	rootFile  = "root.dsse.json"
	blobDir   = "blobs"
)

// A Store is one agent's directory. Its methods may be used by several
// goroutines.
type Store struct {
	dir  string
	lock *os.File

	mu    sync.Mutex
	state State
}

// State is what changes with a release, all of it at once.
type State struct {
	Mark     sign.State `json:"mark"`
	Proof    []byte     `json:"proof,omitempty"` // envelope of the release that set the mark
	Next     *Record    `json:"next,omitempty"`  // verified, not yet taken by Envoy
	Current  *Record    `json:"current,omitempty"`
	Previous *Record    `json:"previous,omitempty"`
}

// A Record is a verified release for one workload, as it was received. It can
// be verified again.
type Record struct {
	Envelope []byte            `json:"envelope"`
	Leaf     []byte            `json:"leaf"`
	Index    int64             `json:"index"`
	Proof    []artifact.Digest `json:"proof"`
}

// Open makes or reads an agent's directory and locks it: two agents would undo
// each other's marks.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	if err := s.open(); err != nil {
		s.Close()
		return nil, fmt.Errorf("opening state directory %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(filepath.Join(s.dir, blobDir), 0o700); err != nil {
		return err
	}
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	if err := private(info, os.Geteuid()); err != nil {
		return err
	}
	if s.lock, err = os.OpenFile(s.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another agent uses it: %w", err)
	}
	return s.load()
}

// private refuses a directory that somebody else can read: by its mode, or as
// its owner, who made it before we came and can change the mode back.
func private(info fs.FileInfo, user int) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("mode %#o lets others have the proxy's key: chmod 700", mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != user && st.Uid != 0 {
		return fmt.Errorf("it belongs to user %d, who can have the proxy's key; this is user %d: remove it, or chown", st.Uid, user)
	}
	return nil
}

// Close releases the directory.
func (s *Store) Close() {
	if s.lock != nil {
		s.lock.Close()
	}
}

// Dir returns the directory.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Store) load() error {
	data, err := os.ReadFile(s.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.state, err = decodeState(data)
	return err
}

// State returns the state, which the caller must not change in place.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Begin records a verified release and the mark that it sets. Only then may it
// be served.
func (s *Store) Begin(mark sign.State, next *Record) error {
	return s.change(func(st *State) { st.Mark, st.Proof, st.Next = mark, next.Envelope, next })
}

// Commit makes the release begun the current one: Envoy has taken it.
func (s *Store) Commit() error {
	return s.change(func(st *State) {
		if st.Next != nil {
			st.Previous, st.Current, st.Next = st.Current, st.Next, nil
		}
	})
}

// Abandon forgets the release begun. The mark stays.
func (s *Store) Abandon() error {
	return s.change(func(st *State) { st.Next = nil })
}

// Renew records that the current content is also that of a later release.
func (s *Store) Renew(mark sign.State, current *Record) error {
	return s.change(func(st *State) { st.Mark, st.Proof, st.Current, st.Next = mark, current.Envelope, current, nil })
}

// Advance records a mark alone, with the envelope that set it.
func (s *Store) Advance(mark sign.State, envelope []byte) error {
	return s.change(func(st *State) { st.Mark, st.Proof = mark, envelope })
}

func (s *Store) change(change func(*State)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state
	change(&next)
	data, err := encodeState(next)
	if err != nil {
		return fmt.Errorf("recording the release: %w", err)
	}
	if err := s.write(stateFile, data); err != nil {
		return fmt.Errorf("recording the release: %w", err)
	}
	s.state = next
	return nil
}

// Root returns the newest root document that was accepted, nil when there is
// none yet.
func (s *Store) Root() ([]byte, error) { return s.Read(rootFile) }

// SetRoot records a root document.
func (s *Store) SetRoot(envelope []byte) error { return s.Write(rootFile, envelope) }

// Read returns a file of the agent's, nil when it is not there.
func (s *Store) Read(name string) ([]byte, error) {
	data, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Write replaces a file of the agent's, durably.
func (s *Store) Write(name string, data []byte) error {
	if err := s.write(name, data); err != nil {
		return fmt.Errorf("writing %s: %w", s.path(name), err)
	}
	return nil
}

// write makes data durable under name: all of it or none.
func (s *Store) write(name string, data []byte) error {
	path := s.path(name)
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// unchanged reports whether a file holds data.
func unchanged(path string, data []byte) bool {
	have, err := os.ReadFile(path)
	return err == nil && bytes.Equal(have, data)
}
