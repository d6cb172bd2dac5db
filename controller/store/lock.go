package store

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/mesh-compile/mesh-compile/compiler/artifact"
	"github.com/mesh-compile/mesh-compile/compiler/durable"
)

// lock makes the caller the only one that changes the directory, in this process
// and among all, and brings what the process remembers of it up to date.
func (s *files) lock(ctx context.Context) (unlock func(), err error) {
	for _, dir := range []string{s.manifests(), s.blobs(), s.incoming()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	release, err := lockFile(ctx, filepath.Join(s.dir, "lock"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	unlock = func() { s.mu.Unlock(); release() }
	if err := errors.Join(s.look(), s.sweepIncoming()); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// lockFile waits for a lock no longer than ctx lasts. A lock that comes later is
// given back at once.
func lockFile(ctx context.Context, name string) (release func(), err error) {
	type locked struct {
		release func()
		err     error
	}
	got := make(chan locked, 1)
	go func() {
		release, err := lockedfile.MutexAt(name).Lock()
		got <- locked{release, err}
	}()
	select {
	case l := <-got:
		return l.release, l.err
	case <-ctx.Done():
		go func() {
			if l := <-got; l.err == nil {
				l.release()
			}
		}()
		return nil, ctx.Err()
	}
}

func (s *files) generationFile() string { return filepath.Join(s.dir, "generation") }

// look forgets what is present where another process has removed something since.
func (s *files) look() error {
	data, err := readBounded(s.generationFile(), 1<<10)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if g := string(data); g != s.generation {
		s.present, s.reach, s.generation = map[artifact.Digest]bool{}, map[artifact.Digest]map[artifact.Digest]bool{}, g
	}
	return nil
}

// turn begins another generation, before something is removed.
func (s *files) turn() error {
	s.step("beginning a generation")
	g := rand.Text()
	if err := durable.ReplaceFile(s.generationFile(), []byte(g), 0o644); err != nil {
		return err
	}
	s.generation = g
	return nil
}

// sweepIncoming removes what processes that were killed have left. Nobody writes
// there but who has the lock.
func (s *files) sweepIncoming() error {
	entries, err := os.ReadDir(s.incoming())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(s.incoming(), e.Name())); err != nil {
			return err
		}
	}
	return nil
}
